"""The ROS 2 node: wires subscriptions, pairing, the derainer and the publishers together."""

from __future__ import annotations

import math
import sys
import time
from typing import TYPE_CHECKING, Any, TypeAlias

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import SetBool

from apanet_ros import parameters
from apanet_ros.diagnostics import NodeStatistics, diagnostic_array
from apanet_ros.guards import LOG_EVERY_S, guarded, logged
from apanet_ros.inputs import SIDES, StereoInputs
from apanet_ros.outputs import StereoOutputs
from apanet_ros.pair_processing import Answer, PairProcessor
from apanet_ros.process import run
from apanet_ros.stereo_sync import PairingCounts
from apanet_ros.worker import NewestWorker

if TYPE_CHECKING:
    from apanet_core import StereoDerainer

AnyImage: TypeAlias = Image | CompressedImage
Pair = tuple[AnyImage, AnyImage, float]  # left, right, time.monotonic() of arrival
HOUSEKEEPING_S = 0.1
SLEEP_AFTER_S = 2.0


class DerainNode(LifecycleNode):
    """Takes rainy stereo pairs, publishes clean ones with the same headers and CameraInfo.

    Topics, services and parameters are listed in README.md.

    Args:
        **options: keyword arguments for rclpy's LifecycleNode, such as parameter_overrides.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__("derain", **options)
        parameters.declare(self)
        self.add_on_set_parameters_callback(self._on_set_parameters)
        self._derainer: StereoDerainer | None = None
        self._inputs: StereoInputs | None = None
        self._worker: NewestWorker[Pair] | None = None
        self._outputs: StereoOutputs | None = None
        self._enabled = True
        self._stats = NodeStatistics()
        self._counts = PairingCounts([0, 0])
        self._failed_before = (0, 0)  # failures, and those of the network, at the last report

    # Lifecycle

    @logged
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model and create the outputs."""
        try:
            self._current = p = parameters.read(self)
            self._derainer = self.make_derainer(p)
            if p.warmup_width and p.warmup_height:
                self._derainer.warm_up(p.warmup_height, p.warmup_width)
        except Exception as error:  # noqa: BLE001 (a wrong parameter must not kill the process)
            self.get_logger().error(f"cannot configure: {error}")
            self._release()
            return TransitionCallbackReturn.FAILURE
        engine = self._derainer.engine
        self._engine = f"{engine.name}, {engine.device}, {engine.precision}"
        self.get_logger().info(f"model {p.model} on {self._engine}")
        self._process_pair = PairProcessor(self._derainer)
        self._outputs = StereoOutputs(self)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._service = self.create_service(SetBool, "~/enable", self._on_enable)
        return TransitionCallbackReturn.SUCCESS

    @logged
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start taking pairs."""
        self._worker = NewestWorker(self._process, self._on_failure)
        self._heard_at = -math.inf
        self._quiet_since, self._received_before = time.monotonic(), list(self._counts.received)
        self._asleep_said = False
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # simulated time may stand still
        self._housekeeping = self.create_timer(HOUSEKEEPING_S, self._keep_house, clock=steady)
        self._report = self.create_timer(1.0, self._publish_diagnostics, clock=steady)
        self._keep_house()
        return super().on_activate(state)

    @logged
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop taking pairs; the model stays loaded."""
        self._stop()
        return super().on_deactivate(state)

    @logged
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the model and the outputs."""
        self._release()
        return TransitionCallbackReturn.SUCCESS

    @logged
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and free everything, from any state."""
        self._stop()
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Return to the unconfigured state after a failed transition."""
        return self.on_shutdown(state)

    def make_derainer(self, p: parameters.NodeParameters) -> StereoDerainer:
        """Load the model."""
        from apanet_core import StereoDerainer  # here, since torch takes seconds to import

        return StereoDerainer(
            p.model, p.engine, p.device, p.precision, p.max_disparity, p.tile, p.tile_overlap, p.compiled
        )

    def autostart(self) -> bool:
        """Configure and activate, unless the parameter says no; False when that failed."""
        if not self.get_parameter("autostart").value:
            return True
        done = TransitionCallbackReturn.SUCCESS
        return bool(self.trigger_configure() == done and self.trigger_activate() == done)

    def _stop(self) -> None:
        if self._worker is None:
            return
        self.destroy_timer(self._housekeeping)
        self.destroy_timer(self._report)
        self._sleep()
        if not self._worker.stop():
            self.get_logger().warning("the pair at hand takes long; not waiting for it")
        self._worker = None

    def _release(self) -> None:
        if self._derainer is not None:
            self._derainer.close()
            self._derainer = None
        if self._outputs is not None:
            self._outputs.close()
            self._outputs = None
            self.destroy_publisher(self._diagnostics)
            self.destroy_service(self._service)

    # Receiving: the executor's thread

    @guarded
    def _keep_house(self) -> None:
        """Follow the subscribers, the publishers' reliability and the parameters; say why nothing pairs."""
        now = time.monotonic()
        self._current = p = parameters.read(self)
        if not p.lazy or (self._outputs is not None and self._outputs.has_listeners()):
            self._heard_at = now
        if now - self._heard_at > SLEEP_AFTER_S:
            if not self._asleep_said:
                self.get_logger().info("nobody subscribes to derained/*: asleep until somebody does")
                self._asleep_said = True
            self._sleep()
        elif self._inputs is None:
            compressed = p.image_transport == "compressed"
            self._inputs = StereoInputs(
                self, self._on_pair, p.pairing_tolerance_s, p.queue_size, p.input_reliability, compressed
            )
            self._inputs.synchronizer.matcher.counts = self._counts
            self._asleep_said = False
            self._quiet_since, self._received_before = now, list(self._counts.received)
            self.get_logger().info(f"listening to {self._inputs.describe()}")
        elif self._inputs.renew():
            self.get_logger().info(f"subscribed again, {self._inputs.reliability.name} as the publishers are")
        else:
            self._inputs.synchronizer.matcher.tolerance_ns = round(1e9 * p.pairing_tolerance_s)
            if self._nothing_pairs(now) or (now - self._quiet_since > LOG_EVERY_S and not self._counts.paired):
                reason = self._inputs.why_nothing_pairs(self._received_before)
                self.get_logger().warning(reason, throttle_duration_sec=LOG_EVERY_S)

    def _nothing_pairs(self, now: float) -> bool:
        """Whether images kept coming for a while without a pair."""
        quiet = now - self._quiet_since > LOG_EVERY_S and self._inputs is not None
        return quiet and self._counts.received != self._received_before

    def _sleep(self) -> None:
        if self._inputs is not None:
            self._inputs.close()
            self._inputs = None

    @guarded
    def _on_pair(self, left: AnyImage, right: AnyImage) -> None:
        self._quiet_since, self._received_before = time.monotonic(), list(self._counts.received)
        if self._worker is not None and not self._worker.put((left, right, time.monotonic())):
            self._stats.add_replaced()

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._enabled = request.data
        response.success = True
        response.message = "deraining" if self._enabled else "passing pairs through untouched"
        self.get_logger().info(response.message)
        return response

    def _on_set_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        return parameters.check_change(self, changes, configured=self._derainer is not None)

    @guarded
    def _publish_diagnostics(self) -> None:
        failures = (self._stats.failed, self._stats.network_failed)
        failed, network_failed = (now > before for now, before in zip(failures, self._failed_before))
        self._failed_before = failures
        warning = ""
        if failed:
            warning = self._stats.last_error
        elif self._nothing_pairs(time.monotonic()):
            warning = "images arrive, but none pair"
        state = "deraining" if self._enabled else "disabled: pairs pass through"
        if self._inputs is None:
            state = "asleep: nobody subscribes"
        name, now = self.get_fully_qualified_name(), self.get_clock().now().to_msg()
        self._diagnostics.publish(
            diagnostic_array(name, now, self._counts, self._stats, self._engine, state, warning, network_failed)
        )

    # Deraining: the worker's thread

    def _process(self, pair: Pair) -> None:
        left, right, arrived = pair
        inputs, outputs, worker, p = self._inputs, self._outputs, self._worker, self._current
        if inputs is None or outputs is None or worker is None:
            return
        answer = self._process_pair(left, right, p) if self._enabled else Answer()
        if not worker.is_current():  # the node was deactivated meanwhile
            return
        if answer.failure:
            self._stats.add_failure(answer.failure, of_network=True)
            what = "dropped" if p.on_failure == "drop" else "passed through as it was"
            self.get_logger().error(f"pair {what}: {answer.failure}", throttle_duration_sec=LOG_EVERY_S)
            if p.on_failure == "drop":
                return
        for side, source, clean in zip(SIDES, (left, right), answer.clean or (None, None)):
            info = inputs.infos[side].beside(source)
            if info is None:
                self.get_logger().warning(f"no CameraInfo for the {side} view yet", throttle_duration_sec=LOG_EVERY_S)
            outputs.publish(side, source, clean, info, p.jpeg_quality)
        if answer.level is not None:
            outputs.publish_level(answer.level)
        self._stats.add_published(time.monotonic() - arrived, answer.bypassed, answer.level)

    def _on_failure(self, error: Exception) -> None:
        self._stats.add_failure(str(error))
        self.get_logger().error(f"pair skipped: {error}", throttle_duration_sec=LOG_EVERY_S)


def main(args: list[str] | None = None) -> int:
    """Run the node until it is told to stop.

    Args:
        args: command line, ROS arguments included; that of the process when None.

    Returns:
        0 after a clean end, 1 when the node could not start.
    """
    return run(DerainNode, args)


if __name__ == "__main__":
    sys.exit(main())
