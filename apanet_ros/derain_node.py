"""The ROS 2 node: wires subscriptions, pairing, the derainer and the publishers together."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage
from std_srvs.srv import SetBool

from apanet_ros import parameters
from apanet_ros.camera_info import CameraInfoCache, describe_mismatch
from apanet_ros.diagnostics import DiagnosticsPublisher
from apanet_ros.guards import LOG_EVERY_S, fail_transition_on_error, refuse_impossible_transitions, report_exceptions
from apanet_ros.image_codec import checked_size
from apanet_ros.latest_item_worker import LatestItemWorker
from apanet_ros.node_statistics import NodeStatistics
from apanet_ros.pair_processing import PairProcessor
from apanet_ros.process import run
from apanet_ros.publishers import StereoPublishers
from apanet_ros.stereo_inputs import SIDES
from apanet_ros.stereo_sync import PairingCounts
from apanet_ros.subscriptions import StereoSubscriptions
from apanet_ros.threads import TimedDerainer
from apanet_ros.image_messages import SerializedImage

if TYPE_CHECKING:
    from apanet_core import StereoDerainer

AnyImage: TypeAlias = SerializedImage | CompressedImage
Pair = tuple[AnyImage, AnyImage, float]  # left, right, time.monotonic() of arrival
UPDATE_PERIOD_S = 0.1


class DerainNode(LifecycleNode):
    """Takes rainy stereo pairs, publishes clean ones with the same headers and CameraInfo.

    Topics, services and parameters are listed in README.md.

    Args:
        **options: keyword arguments for rclpy's LifecycleNode, such as parameter_overrides.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__("derain", **options)
        refuse_impossible_transitions(self)
        parameters.declare(self)
        for given, meant in parameters.suggest_names(self).items():
            self.get_logger().warning(f"there is no parameter {given!r}: did you mean {meant!r}?")
        self.add_on_set_parameters_callback(self._on_set_parameters)
        self._derainer: TimedDerainer | None = None
        self._worker: LatestItemWorker[Pair] | None = None
        self._outputs: StereoPublishers | None = None
        self._enabled = True
        self._stats = NodeStatistics()
        self._counts = PairingCounts([0, 0])
        self._infos = {side: CameraInfoCache() for side in SIDES}
        self._info_problem = ""  # of the last pair
        self._listener = StereoSubscriptions(
            self, self._on_pair, self._check, self._on_refused, self._infos, self._counts
        )
        self._reporter: DiagnosticsPublisher | None = None
        self._service: Any = None
        self._periodic: list[Any] = []  # timers
        self.stopping: Callable[[], bool] = lambda: False  # whether the process is to end; loading is then cut short

    # Lifecycle

    @fail_transition_on_error
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model and create the outputs."""
        try:
            self._current = p = parameters.read(self)
            self._derainer = TimedDerainer(partial(self.make_derainer, p), self._limits, self.stopping)
            if p.warmup_width and p.warmup_height:
                self._derainer.warm_up(p.warmup_height, p.warmup_width)
        except Exception as error:  # noqa: BLE001 (a wrong parameter must not kill the process)
            if not self.stopping():
                self.get_logger().error(f"cannot configure: {error}")
            self._release()
            return TransitionCallbackReturn.FAILURE
        engine = self._derainer.engine
        self.get_logger().info(f"model {p.model} on {engine.name}, {engine.device}, {engine.precision}")
        self._process_pair = PairProcessor(self._derainer)
        self._outputs = StereoPublishers(self)
        words = {"model": p.model, "engine": engine.name, "device": engine.device, "precision": engine.precision}
        self._reporter = DiagnosticsPublisher(self, self._counts, self._stats, words)
        self._service = self.create_service(SetBool, "~/enable", self._on_enable)
        return TransitionCallbackReturn.SUCCESS

    @fail_transition_on_error
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start taking pairs."""
        self._worker = LatestItemWorker(self._process, self._on_failure)
        self._listener.reset()
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # simulated time may stand still
        self._periodic = [
            self.create_timer(UPDATE_PERIOD_S, self._update, clock=steady),
            self.create_timer(1.0, self._publish_diagnostics, clock=steady),
        ]
        self._update()
        return super().on_activate(state)

    @fail_transition_on_error
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop taking pairs; the model stays loaded."""
        self._stop()
        return super().on_deactivate(state)

    @fail_transition_on_error
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the model and the outputs."""
        self._release()
        return TransitionCallbackReturn.SUCCESS

    @fail_transition_on_error
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

    def _limits(self) -> tuple[float, float]:
        return self._current.network_timeout_s, self._current.first_pair_timeout_s

    def autostart(self) -> bool:
        """Configure and activate, unless the parameter says no; False when that failed."""
        if not self.get_parameter("autostart").value:
            return True
        done = TransitionCallbackReturn.SUCCESS
        return self.stopping() or bool(self.trigger_configure() == done and self.trigger_activate() == done)

    def _stop(self) -> None:
        if self._worker is None:
            return
        for timer in self._periodic:
            self.destroy_timer(timer)
        self._periodic = []
        self._listener.unsubscribe()
        if not self._worker.stop():
            self.get_logger().warning("the pair at hand takes long; not waiting for it")
        self._worker = None

    def _release(self) -> None:
        if self._derainer is not None:
            if not self._derainer.close():
                self.get_logger().warning("the network is busy; not waiting for it")
            self._derainer = None
        if self._outputs is not None:
            self._outputs.close()
            self._outputs = None
        if self._reporter is not None:
            self._reporter.close()
            self._reporter = None
        if self._service is not None:
            self.destroy_service(self._service)
            self._service = None

    # Receiving: the executor's thread

    @report_exceptions
    def _update(self) -> None:
        """Follow the parameters, the subscribers and the publishers."""
        self._current = p = parameters.read(self)
        self._listener.update(p, wanted=not p.lazy or (self._outputs is not None and self._outputs.has_subscribers()))

    def callback_failed(self, callback: str, error: Exception) -> None:
        """Count and log what a callback raised."""
        self._stats.add_failure(f"{callback}: {error}")
        self.get_logger().error(f"{callback} failed: {error}", throttle_duration_sec=LOG_EVERY_S)

    def _check(self, image: AnyImage) -> None:
        checked_size(image, self._current.max_megapixels)

    def _on_refused(self, side: str, error: Exception) -> None:
        self._stats.add_failure(f"{side} image refused: {error}")
        self.get_logger().error(f"{side} image refused: {error}", throttle_duration_sec=LOG_EVERY_S)

    @report_exceptions
    def _on_pair(self, left: AnyImage, right: AnyImage) -> None:
        if self._worker is not None and not self._worker.put((left, right, time.monotonic())):
            self._stats.add_dropped()

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._enabled = request.data
        response.success = True
        response.message = "deraining" if self._enabled else "passing pairs through untouched"
        self.get_logger().info(response.message)
        return response

    def _on_set_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        return parameters.check_change(self, changes, configured=self._derainer is not None)

    @report_exceptions
    def _publish_diagnostics(self) -> None:
        state = "deraining" if self._enabled else "disabled: pairs pass through"
        inputs = self._listener.inputs
        if inputs is None:
            state = "asleep: nobody subscribes"
        if self._reporter is None:
            return
        self._reporter.publish(
            state,
            self._listener.pairing_problem() or (self._info_problem if inputs else ""),
            self._derainer.overdue_s() if self._derainer else None,
            inputs.subscriptions() if inputs else [],
            self._outputs.publishers() if self._outputs else [],
        )

    # Deraining: the worker's thread

    def _process(self, pair: Pair) -> None:
        left, right, arrived = pair
        outputs, worker, p = self._outputs, self._worker, self._current
        if outputs is None or worker is None:
            return
        own = [self._infos[side].own(image) for side, image in zip(SIDES, (left, right))]  # before many more come
        answer = self._process_pair(left, right, p, self._enabled)
        if not worker.is_current():  # the node was deactivated meanwhile
            return
        if answer.failure:
            self._stats.add_failure(answer.failure, of_network=True)
            what = "dropped" if p.on_failure == "drop" else "passed through as it was"
            self.get_logger().error(f"pair {what}: {answer.failure}", throttle_duration_sec=LOG_EVERY_S)
            if p.on_failure == "drop":
                return
        messages, infos = [], {}
        for side, source, clean, info in zip(SIDES, (left, right), answer.clean or (None, None), own):
            infos[side] = info or self._infos[side].beside(source, answer.size)
            messages += outputs.messages(side, source, clean, infos[side], p.jpeg_quality)
        if not worker.is_current():  # encoding takes its time
            return
        for publisher, message in messages:
            publisher.publish(message)
        self._info_problem = describe_mismatch(infos, answer.size)
        if self._info_problem:
            self.get_logger().warning(self._info_problem, throttle_duration_sec=LOG_EVERY_S)
        if answer.level is not None:
            outputs.publish_level(answer.level)
        self._stats.add_published(time.monotonic() - arrived, answer.bypassed, answer.level)

    def _on_failure(self, error: Exception) -> None:
        self._stats.add_failure(str(error))
        self.get_logger().error(f"pair skipped: {error}", throttle_duration_sec=LOG_EVERY_S)


def main(args: list[str] | None = None) -> int:
    """Run the node until it is told to stop; the process ends with it.

    Args:
        args: command line, ROS arguments included; that of the process when None.

    Returns:
        0 after a clean end, 1 when the node could not start.
    """
    return run(DerainNode, args)


if __name__ == "__main__":
    sys.exit(main())
