"""The ROS 2 node: connects subscriptions, pairing, the derainer and the publishers."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from std_srvs.srv import SetBool

from apanet_core.missing import install_hint
from apanet_ros import node_parameters
from apanet_ros.camera_info import describe_mismatch
from apanet_ros.diagnostics import DiagnosticsPublisher
from apanet_ros.guards import LOG_EVERY_S, fail_transition_on_error, refuse_impossible_transitions, report_exceptions
from apanet_ros.image_messages import ReceivedImage
from apanet_ros.node_statistics import NodeStatistics
from apanet_ros.pair_processing import PairProcessor
from apanet_ros.pairing_watch import PairingWatch
from apanet_ros.parameters import NodeParameters, help_lines
from apanet_ros.process import run
from apanet_ros.publishers import StereoPublishers
from apanet_ros.stereo_sync import PairingCounts, StereoSynchronizer
from apanet_ros.subscriptions import SIDES, StereoSubscriptions
from apanet_ros.threads import LatestItemWorker, TimedDerainer

if TYPE_CHECKING:
    from apanet_core import StereoDerainer

UPDATE_PERIOD_S, DIAGNOSTICS_PERIOD_S = 0.1, 1.0
DEACTIVATION_TIMEOUT_S = 0.3  # for the pair in progress

HELP = """usage: derain_node [--ros-args [-p NAME:=VALUE] [-r FROM:=TO] [--params-file FILE]]

Subscribes to rainy stereo pairs on left/image_rect and right/image_rect, publishes clean ones under derained/.
Parameters:"""


def stamp_s(image: ReceivedImage) -> str:
    """Return the stamp of an image in seconds, for the log."""
    stamp = image.header.stamp
    return f"{stamp.sec}.{stamp.nanosec:09d}"


class StereoPair(NamedTuple):
    """Two images of one moment; `arrived` is `time.monotonic()` when the second one was received."""

    left: ReceivedImage
    right: ReceivedImage
    arrived: float


class DerainNode(LifecycleNode):
    """Subscribes to rainy stereo pairs and publishes clean ones with the same headers and CameraInfo.

    docs/node.md lists topics and services, docs/parameters.md parameters. The headings below name the thread of each
    method. The executor's thread receives and pairs images. The worker's thread processes the newest pair. The
    network's thread (`TimedDerainer`) runs inference, which may hang.

    Args:
        **options: keyword arguments for rclpy's LifecycleNode, such as parameter_overrides.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__("derain", **options)
        refuse_impossible_transitions(self)
        node_parameters.declare(self)
        for given, meant in node_parameters.suggest_names(self).items():
            self.get_logger().warning(f"there is no parameter {given!r}: did you mean {meant!r}?")
        self.add_on_set_parameters_callback(self._on_set_parameters)
        self._configured, self._active = ExitStack(), ExitStack()  # closed on cleanup, and on deactivation
        self._loaded: dict[str, str] | None = None  # what runs, where a parameter is "auto"
        self._enabled = True
        self._stats = NodeStatistics()
        self._counts = PairingCounts([0, 0])
        self._info_problem = ""  # CameraInfo problem of the last pair
        self.stopping: Callable[[], bool] = lambda: False  # True: the process is ending, do not wait for loading

    # Lifecycle: the executor's thread

    @fail_transition_on_error
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model and create the outputs."""
        try:
            self._current = p = node_parameters.read(self)
            self._derainer = TimedDerainer(partial(self.make_derainer, p), self._limits, self.stopping)
            self._configured.callback(
                self._close,
                self._derainer.close,
                "Inference is still running; the model will be freed when it returns.",
            )
            if p.warmup_width and p.warmup_height:
                self._derainer.warm_up(p.warmup_height, p.warmup_width)
        except Exception as error:  # noqa: BLE001 (a wrong parameter must not kill the process)
            if not self.stopping():
                self.get_logger().error(f"cannot configure: {error}{install_hint(error)}")
            self._configured.close()
            return TransitionCallbackReturn.FAILURE
        engine = self._derainer.engine
        self.get_logger().info(f"model {self._derainer.model} on {engine.name}, {engine.device}, {engine.precision}")
        self._processor = PairProcessor(self._derainer)
        self._outputs = StereoPublishers(self)
        self._configured.callback(self._outputs.close)
        words = {
            "model": self._derainer.model,
            "engine": engine.name,
            "device": engine.device,
            "precision": engine.precision,
        }
        self._reporter = DiagnosticsPublisher(self, self._counts, self._stats, words)
        self._configured.callback(self._reporter.close)
        self._configured.callback(self.destroy_service, self.create_service(SetBool, "~/enable", self._on_enable))
        if not self._enabled:
            self.get_logger().info("Deraining was off by ~/enable; it is on again.")
        self._loaded, self._enabled = words, True
        return TransitionCallbackReturn.SUCCESS

    @fail_transition_on_error
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start processing pairs."""
        p = self._current = node_parameters.read(self)
        self._worker = LatestItemWorker(self._process, self._on_failure)
        self._active.callback(
            self._close,
            partial(self._worker.stop, DEACTIVATION_TIMEOUT_S),
            f"Inference still runs {DEACTIVATION_TIMEOUT_S} s after deactivation; its result will be discarded.",
        )
        self._inputs = StereoSubscriptions(self, p, self._on_refused, self._on_lost)
        self._active.callback(self._inputs.close)
        left, right = (self._inputs.images[side] for side in SIDES)
        self._sync = StereoSynchronizer(left, right, p.pairing_tolerance_s, p.queue_size, self._counts)
        self._sync.registerCallback(self._on_pair)
        self._watch = PairingWatch(
            self._sync.matcher, self._inputs.describe, self._inputs.image_publishers, LOG_EVERY_S
        )
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # simulated time may stop
        for period_s, callback in ((UPDATE_PERIOD_S, self._update), (DIAGNOSTICS_PERIOD_S, self._publish_diagnostics)):
            self._active.callback(self.destroy_timer, self.create_timer(period_s, callback, clock=steady))
        self._update()
        return super().on_activate(state)

    @fail_transition_on_error
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop processing pairs; the model stays loaded."""
        self._active.close()
        return super().on_deactivate(state)

    @fail_transition_on_error
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the model and the outputs."""
        self._loaded = None
        self._configured.close()
        return TransitionCallbackReturn.SUCCESS

    @fail_transition_on_error
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and free everything, from any state."""
        self._active.close()
        return self.on_cleanup(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Return to the unconfigured state after a failed transition."""
        return self.on_shutdown(state)

    def make_derainer(self, p: NodeParameters) -> StereoDerainer:
        """Load the model, in the network's thread."""
        from apanet_core import StereoDerainer  # here, since torch takes seconds to import

        return StereoDerainer(
            p.model, p.engine, p.device, p.precision, p.max_disparity, p.tile, p.tile_overlap, p.compiled
        )

    def _limits(self) -> tuple[float, float]:
        return self._current.network_timeout_s, self._current.first_pair_timeout_s

    def autostart(self) -> bool:
        """Configure and activate if the parameter `autostart` is true; return False if that failed."""
        if not self.get_parameter("autostart").value:
            return True
        done = TransitionCallbackReturn.SUCCESS
        return self.stopping() or bool(self.trigger_configure() == done and self.trigger_activate() == done)

    def _close(self, close: Callable[[], bool], otherwise: str) -> None:
        """Call `close`, and log `otherwise` as a warning if it returns False: not closed in time."""
        if not close():
            self.get_logger().warning(otherwise)

    # Receiving: the executor's thread

    @report_exceptions
    def _update(self) -> None:
        """Adapt to changed parameters, subscribers and publishers."""
        self._current = p = node_parameters.read(self)
        self._sync.matcher.tolerance_ns = round(1e9 * p.pairing_tolerance_s)
        if self._inputs.update(p, wanted=not p.lazy or self._outputs.has_subscribers()):
            self._sync.matcher.forget()
            self._watch.begin()
        elif problem := self._pairing_problem():
            self.get_logger().warning(problem, throttle_duration_sec=LOG_EVERY_S)

    def _pairing_problem(self) -> str:
        return (self._inputs.remap_problem() or self._watch.problem()) if self._inputs.awake else ""

    def _name_problem(self) -> str:
        count = self.get_node_names_and_namespaces().count((self.get_name(), self.get_namespace()))
        name = self.get_fully_qualified_name()
        return f"{count} nodes are called {name}: start each in a different namespace" if count > 1 else ""

    def callback_failed(self, callback: str, error: Exception) -> None:
        """Count and log what a callback raised."""
        self._stats.add_failure(f"{callback}: {error}")
        self.get_logger().error(f"{callback} failed: {error}", throttle_duration_sec=LOG_EVERY_S)

    def _on_refused(self, side: str, error: Exception) -> None:
        self._watch.refused(side)
        self._stats.add_failure(f"{side} image refused: {error}")
        self.get_logger().error(f"{side} image refused: {error}", throttle_duration_sec=LOG_EVERY_S)

    def _on_lost(self, side: str, number: int) -> None:
        self._counts.lost[SIDES.index(side)] += number

    @report_exceptions
    def _on_pair(self, left: ReceivedImage, right: ReceivedImage) -> None:
        self._watch.begin()
        if replaced := self._worker.put(StereoPair(left, right, time.monotonic())):
            self._stats.add_dropped()
            self.get_logger().debug(f"pair of {stamp_s(replaced.left)}: dropped for that of {stamp_s(left)}")

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._enabled = request.data
        response.success = True
        response.message = "deraining" if self._enabled else "passing pairs through unchanged"
        self.get_logger().info(response.message)
        return response

    def _on_set_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        return node_parameters.check_change(self, changes, self._loaded)

    @report_exceptions
    def _publish_diagnostics(self) -> None:
        awake = self._inputs.awake
        if not awake:
            state = "asleep: nobody subscribes"
        else:
            state = "deraining" if self._enabled else "disabled: pairs pass through"
        self._reporter.publish(
            state,
            self._pairing_problem() or self._name_problem() or (self._info_problem if awake else ""),
            self._derainer.overdue_s(),
            self._inputs.subscriptions(),
            self._outputs.publishers(),
        )

    # Deraining: the worker's thread

    def _process(self, pair: StereoPair) -> None:
        """Derain a pair and publish both views, or neither."""
        worker, publishers, p = self._worker, self._outputs, self._current
        infos_of = self._inputs.infos
        views = dict(zip(SIDES, (pair.left, pair.right)))
        # before inference, since newer messages evict older ones
        exact = {side: infos_of[side].with_stamp_of(view) for side, view in views.items()}
        result = self._processor(pair.left, pair.right, p, self._enabled)
        if not worker.is_current():  # the node was deactivated during inference
            return
        if result.failure:
            self._stats.add_failure(result.failure, of_network=True)
            what = "dropped" if p.on_failure == "drop" else "passed through unchanged"
            self.get_logger().error(f"pair {what}: {result.failure}", throttle_duration_sec=LOG_EVERY_S)
            if p.on_failure == "drop":
                self.get_logger().debug(f"pair of {stamp_s(pair.left)}: dropped after a failure")
                return
        latest = {side: infos_of[side].for_image(view, result.size) for side, view in views.items()}
        infos = {side: exact[side] or latest[side] for side in SIDES}
        messages = []
        for (side, view), clean in zip(views.items(), result.clean or (None, None)):
            messages += publishers.messages(side, view, clean, infos[side], p.jpeg_quality)
        if not worker.is_current():  # deactivated during encoding
            return
        took_s = time.monotonic() - pair.arrived
        for publisher, message in messages:
            publisher.publish(message)
        self._info_problem = describe_mismatch(infos, result.size)
        if None in infos.values():
            self._info_problem += f" on {self._inputs.describe_infos()}"
        if self._info_problem:
            self.get_logger().warning(self._info_problem, throttle_duration_sec=LOG_EVERY_S)
        if result.level is not None:
            publishers.publish_level(result.level)
        self._stats.add_published(took_s, result.bypassed, result.level)
        self.get_logger().debug(f"pair of {stamp_s(pair.left)}: {result.decision} in {1000 * took_s:.1f} ms")

    def _on_failure(self, error: Exception) -> None:
        self._stats.add_failure(str(error))
        self.get_logger().error(f"pair skipped: {error}", throttle_duration_sec=LOG_EVERY_S)


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT, SIGTERM or a shutdown of the ROS context.

    Args:
        args: command line with ROS arguments; `sys.argv` if None.

    Returns:
        Exit code of the process: 0 after a clean end, 1 if the node could not start or rclpy keeps failing.
    """
    args = sys.argv if args is None else args
    if {"-h", "--help"} & set(args):
        print(HELP, *help_lines(), sep="\n")
        return 0
    return run(DerainNode, args)


if __name__ == "__main__":
    sys.exit(main())
