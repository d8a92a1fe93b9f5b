"""The work of an active node, from received images to published pairs."""

from __future__ import annotations

import time
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from rclpy.clock import Clock, ClockType

from apanet_ros.camera_info import describe_mismatch
from apanet_ros.diagnostics import DiagnosticsPublisher
from apanet_ros.guards import LOG_EVERY_S, report_exceptions
from apanet_ros.image_messages import ReceivedImage
from apanet_ros.node_statistics import NodeStatistics
from apanet_ros.pair_processing import PairProcessor
from apanet_ros.pairing_watch import PairingWatch
from apanet_ros.publishers import StereoPublishers
from apanet_ros.stereo_sync import PairingCounts, StereoSynchronizer
from apanet_ros.subscriptions import SIDES, StereoSubscriptions
from apanet_ros.threads import LatestItemWorker, TimedDerainer

if TYPE_CHECKING:
    from apanet_ros.derain_node import DerainNode

UPDATE_PERIOD_S, DIAGNOSTICS_PERIOD_S = 0.1, 1.0
DEACTIVATION_TIMEOUT_S = 0.3  # for the pair in progress


def stamp_s(image: ReceivedImage) -> str:
    """Return the stamp of an image in seconds, for the log."""
    stamp = image.header.stamp
    return f"{stamp.sec}.{stamp.nanosec:09d}"


class StereoPair(NamedTuple):
    """Two images of one moment; `arrived` is `time.monotonic()` when the second one was received."""

    left: ReceivedImage
    right: ReceivedImage
    arrived: float


class Configured(NamedTuple):
    """The parts of a node from configuration to cleanup; the counts are those of the whole process."""

    derainer: TimedDerainer
    outputs: StereoPublishers
    reporter: DiagnosticsPublisher
    stats: NodeStatistics
    counts: PairingCounts


class ActiveDeraining:
    """Receives and pairs images, derains the newest pair and publishes it, until it is closed.

    The headings below name the thread of each method. The executor's thread receives and pairs images. The worker's
    thread processes the newest pair. The network's thread (`TimedDerainer`) runs inference, which may hang.

    Args:
        node: has the parameters; owns subscriptions and timers.
        configured: the parts that the node has made in `on_configure`.
    """

    def __init__(self, node: DerainNode, configured: Configured) -> None:
        self._node, self._configured = node, configured
        self.callback_failed = node.callback_failed
        self._stats, self._counts = configured.stats, configured.counts
        self._info_problem = ""  # CameraInfo problem of the last pair
        p = node.read_parameters()
        self._processor = PairProcessor(configured.derainer)  # of this worker alone
        with ExitStack() as closing:  # closes what exists if the rest fails
            self._worker = LatestItemWorker(self._process, self._on_failure, self._on_dropped)
            closing.callback(
                node.close_or_warn,
                partial(self._worker.stop, DEACTIVATION_TIMEOUT_S),
                f"inference still runs {DEACTIVATION_TIMEOUT_S} s after deactivation; its result will be discarded",
            )
            self._inputs = StereoSubscriptions(node, p, configured.outputs.describe, self._on_refused, self._on_lost)
            closing.callback(self._inputs.close)
            left, right = (self._inputs.images[side] for side in SIDES)
            self._sync = StereoSynchronizer(left, right, p.pairing_tolerance_s, p.queue_size, self._counts)
            self._sync.registerCallback(self._on_pair)
            self._watch = PairingWatch(
                self._sync.matcher, self._inputs.describe, self._inputs.image_publishers, LOG_EVERY_S
            )
            steady = Clock(clock_type=ClockType.STEADY_TIME)  # simulated time may stop
            for period_s, callback in (
                (UPDATE_PERIOD_S, self._update),
                (DIAGNOSTICS_PERIOD_S, self._publish_diagnostics),
            ):
                closing.callback(node.destroy_timer, node.create_timer(period_s, callback, clock=steady))
            self._update()
            self._closing = closing.pop_all()

    def close(self) -> None:
        """Stop the timers, subscriptions and the worker; a pair in progress gets `DEACTIVATION_TIMEOUT_S`."""
        self._closing.close()

    # Receiving: the executor's thread

    @report_exceptions
    def _update(self) -> None:
        """Adapt to changed parameters, subscribers and publishers."""
        p = self._node.read_parameters()
        self._sync.matcher.tolerance_ns = round(1e9 * p.pairing_tolerance_s)
        if self._inputs.update(p, wanted=not p.lazy or self._configured.outputs.has_subscribers()):
            self._sync.matcher.forget()
            self._watch.begin()
        elif problem := self._pairing_problem():
            self._node.get_logger().warning(problem, throttle_duration_sec=LOG_EVERY_S)

    def _pairing_problem(self) -> str:
        return (self._inputs.remap_problem() or self._watch.problem()) if self._inputs.awake else ""

    def _name_problem(self) -> str:
        count = self._node.get_node_names_and_namespaces().count((self._node.get_name(), self._node.get_namespace()))
        name = self._node.get_fully_qualified_name()
        return f"{count} nodes are called {name}: start each in a different namespace" if count > 1 else ""

    def _on_refused(self, side: str, error: Exception) -> None:
        self._watch.refused(side)
        self._stats.add_failure(f"{side} image refused: {error}")
        self._node.get_logger().error(f"{side} image refused: {error}", throttle_duration_sec=LOG_EVERY_S)

    def _on_lost(self, side: str, number: int) -> None:
        self._counts.lost[SIDES.index(side)] += number

    @report_exceptions
    def _on_pair(self, left: ReceivedImage, right: ReceivedImage) -> None:
        self._watch.begin()
        self._worker.put(StereoPair(left, right, time.monotonic()))

    def _on_dropped(self, pair: StereoPair) -> None:
        self._stats.add_dropped()
        self._node.get_logger().debug(f"pair of {stamp_s(pair.left)}: dropped, a newer one is here or the node stops")

    @report_exceptions
    def _publish_diagnostics(self) -> None:
        awake = self._inputs.awake
        if not awake:
            state = "asleep: nobody subscribes"
        else:
            state = "deraining" if self._node.enabled else "disabled: pairs pass through"
        self._configured.reporter.publish(
            state,
            self._pairing_problem() or self._name_problem() or (self._info_problem if awake else ""),
            self._configured.derainer.overdue_s(),
            self._inputs.subscriptions(),
            self._configured.outputs.publishers(),
        )

    # Deraining: the worker's thread

    def _process(self, pair: StereoPair) -> None:
        """Derain a pair and publish both views, or neither."""
        worker, publishers, p = self._worker, self._configured.outputs, self._node.parameters
        infos_of = self._inputs.infos
        views = dict(zip(SIDES, (pair.left, pair.right)))
        # A CameraInfo may arrive during inference, and newer ones evict older ones: look before and after.
        exact = {side: infos_of[side].with_stamp_of(view) for side, view in views.items()}
        result = self._processor(pair.left, pair.right, p, self._node.enabled)
        if not worker.is_current():  # the node was deactivated during inference
            return
        if result.failure:
            self._stats.add_failure(result.failure, of_network=True)
            what = "dropped" if p.on_failure == "drop" else "passed through unchanged"
            self._node.get_logger().error(f"pair {what}: {result.failure}", throttle_duration_sec=LOG_EVERY_S)
            if p.on_failure == "drop":
                self._node.get_logger().debug(f"pair of {stamp_s(pair.left)}: dropped after a failure")
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
        if missing := [side for side, info in infos.items() if info is None]:
            self._info_problem += f" on {self._inputs.describe_infos(missing)}: remap it to the camera's topic"
        if self._info_problem:
            self._node.get_logger().warning(self._info_problem, throttle_duration_sec=LOG_EVERY_S)
        if result.level is not None:
            publishers.publish_level(result.level)
        self._stats.add_published(took_s, result.bypassed, result.level)
        self._node.get_logger().debug(f"pair of {stamp_s(pair.left)}: {result.decision} in {1000 * took_s:.1f} ms")

    def _on_failure(self, error: Exception) -> None:
        self._stats.add_failure(str(error))
        self._node.get_logger().error(f"pair skipped: {error}", throttle_duration_sec=LOG_EVERY_S)
