"""The node's four subscriptions, made and dropped together."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSPolicyKind, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from apanet_ros.camera_info import CameraInfoCache
from apanet_ros.qos_monitor import NO_SUBSCRIPTION_EVENTS
from apanet_ros.stereo_sync import StereoSynchronizer
from apanet_ros.image_messages import read_image

try:
    from message_filters import SimpleFilter, Subscriber
except ImportError:
    from apanet_ros.message_filters_fallback import SimpleFilter, Subscriber

SIDES = ("left", "right")
CLOCKS_DIFFER_NS = 1_000_000_000
RELIABILITIES = {"reliable": ReliabilityPolicy.RELIABLE, "best_effort": ReliabilityPolicy.BEST_EFFORT}


def compressed_topic(node: Any, image: str) -> str:
    """As image_transport has it: /compressed comes behind whatever the image topic was remapped to."""
    return f"{node.resolve_topic_name(image)}/compressed"


class UsableImages(SimpleFilter):  # type: ignore[misc]
    """A message_filters filter that lets no broken image through: it would take a good one's place in a pair.

    Args:
        source: a filter of messages.
        read: makes an image of a message, or raises for a broken one.
        on_refused: called with that error.
    """

    def __init__(
        self, source: SimpleFilter, read: Callable[[Any], Any], on_refused: Callable[[Exception], None]
    ) -> None:
        super().__init__()
        self._read, self._on_refused = read, on_refused
        source.registerCallback(self.add)

    def add(self, message: Any) -> None:
        """Take one message."""
        try:
            image = self._read(message)
        except Exception as error:  # noqa: BLE001 (whatever a message brings, it must not end the process)
            self._on_refused(error)
        else:
            self.signalMessage(image)


class StereoInputs:
    """Subscribes to both views and their CameraInfo, and hands out pairs.

    A best-effort subscription hears every publisher, but with Fast DDS's default transports it loses images above half
    a megabyte; a reliable one hears reliable publishers only. So with "auto" the subscriptions to images are reliable
    until a best-effort publisher is on one of their topics, and likewise those to CameraInfo.

    Args:
        node: the rclpy node.
        on_pair: called in the receiving thread with both images, left first (`SerializedImage` or CompressedImage).
        check: raises ValueError for an image that is broken.
        on_refused: called with its side, "left" or "right", and that error.
        infos: where the CameraInfo of each side are kept.
        tolerance_s: largest stamp difference within a pair.
        queue_size: messages per view that wait for their partner.
        reliability: "auto", "reliable" or "best_effort".
        compressed: take CompressedImage from image_rect/compressed.
    """

    def __init__(
        self,
        node: Any,
        on_pair: Callable[[Any, Any], None],
        check: Callable[[Any], object],
        on_refused: Callable[[str, Exception], None],
        infos: dict[str, CameraInfoCache],
        tolerance_s: float,
        queue_size: int,
        reliability: str = "auto",
        compressed: bool = False,
    ) -> None:
        self._compressed = compressed
        self._node, self._queue_size, self._choice = node, queue_size, reliability
        self._check, self._on_refused = check, on_refused
        self._refused = dict.fromkeys(SIDES, 0)  # since the last pair
        self._infos = infos
        self._open(*self._wanted_qos())
        self.synchronizer = StereoSynchronizer(self._images["left"], self._images["right"], tolerance_s, queue_size)
        self.synchronizer.registerCallback(self._forget_refused)
        self.synchronizer.registerCallback(on_pair)

    def resubscribe_if_qos_changed(self) -> bool:
        """Subscribe again when the publishers want another reliability; whether it was needed."""
        wanted = self._wanted_qos()
        if wanted == (self.reliability, self.info_reliability, self._durability):
            return False
        self.close()
        self._open(*wanted)
        self.synchronizer.connectInput(self._images["left"], self._images["right"])
        return True

    def close(self) -> None:
        """Drop the subscriptions."""
        for subscription in self.subscriptions():
            self._node.destroy_subscription(subscription)

    def subscriptions(self) -> list[Any]:
        """Those of rclpy."""
        return [subscriber.sub for subscriber in self._subscribers]

    def pairing_problem(self, received_before: list[int]) -> str:
        """What was received since the last pair and what to do about it, for the log."""
        counts = self.synchronizer.matcher.counts
        left, right = (now - before for now, before in zip(counts.received, received_before))
        if any(self._refused.values()):
            reason = f"{self._refused['left']} left and {self._refused['right']} right ones beside these were refused"
        elif left == right == 0:
            reason = "both cameras are silent, or the remaps are wrong"
        elif left == 0 or right == 0:
            reason = "one camera is silent"
        else:
            reason = self._why_stamps_do_not_pair(counts.nearest_partner_ns)
        return f"no pairs: {left} left and {right} right images on {self.describe()}; {reason}"

    def _why_stamps_do_not_pair(self, apart_ns: int | None) -> str:
        tolerance_ns = self.synchronizer.matcher.tolerance_ns
        if apart_ns is None:
            return "no image had one of the other view to be compared with"
        if apart_ns > CLOCKS_DIFFER_NS:
            return f"the stamps differ by {apart_ns / 1e9:.1f} s: the cameras' clocks do"
        differ = f"the stamps differ by {apart_ns / 1e6:.3f} ms"
        if apart_ns <= tolerance_ns:
            return f"{differ}, half the time between two images or more: trigger the cameras together"
        return (
            f"{differ}: {'raise tolerance_s' if tolerance_ns else 'set approximate_sync, and tolerance_s'} above that"
        )

    def describe(self) -> str:
        """The image topics after remapping, with their number of publishers, for log messages."""
        topics = [self._image_topic(side) for side in SIDES]
        return ", ".join(f"{topic} ({self._node.count_publishers(topic)} publishers)" for topic in topics)

    def _open(self, images: ReliabilityPolicy, infos: ReliabilityPolicy, durability: DurabilityPolicy) -> None:
        self.reliability, self.info_reliability, self._durability = images, infos, durability
        self._subscribers: list[Any] = []
        try:
            self._images = {side: self._usable_images(side) for side in SIDES}
            for side in SIDES:
                filter_ = self._subscribe(CameraInfo, f"{side}/camera_info", infos, durability=durability)
                filter_.registerCallback(self._infos[side].add)
        except Exception:
            self.close()
            raise

    def _usable_images(self, side: str) -> UsableImages:
        topic = self._image_name(side)
        if self._compressed:
            source = self._subscribe(CompressedImage, topic, self.reliability)
        else:
            source = self._subscribe(Image, topic, self.reliability, raw=True)
        return UsableImages(source, self._read, partial(self._refuse, side))

    def _read(self, message: Any) -> Any:
        image = message if self._compressed else read_image(message)
        self._check(image)
        return image

    def _refuse(self, side: str, error: Exception) -> None:
        self._refused[side] += 1
        self._on_refused(side, error)

    def _forget_refused(self, *pair: Any) -> None:
        self._refused = dict.fromkeys(SIDES, 0)

    def _subscribe(
        self,
        message_type: type,
        topic: str,
        reliability: ReliabilityPolicy,
        raw: bool = False,
        durability: DurabilityPolicy = DurabilityPolicy.VOLATILE,
    ) -> Any:
        profile = QoSProfile(
            history=HistoryPolicy.KEEP_LAST,
            depth=self._queue_size,
            reliability=reliability,
            durability=durability,
        )
        options = QoSOverridingOptions([QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH])
        subscriber = Subscriber(
            self._node,
            message_type,
            topic,
            qos_profile=profile,
            qos_overriding_options=options,
            event_callbacks=NO_SUBSCRIPTION_EVENTS,
            raw=raw,
        )
        self._subscribers.append(subscriber)
        return subscriber

    def _image_name(self, side: str) -> str:
        name = f"{side}/image_rect"
        return compressed_topic(self._node, name) if self._compressed else name

    def _image_topic(self, side: str) -> str:
        return self._node.resolve_topic_name(self._image_name(side))

    def _wanted_qos(self) -> tuple[ReliabilityPolicy, ReliabilityPolicy, DurabilityPolicy]:
        """Reliability of the images, that of CameraInfo, and the durability of CameraInfo."""
        images = [self._image_topic(side) for side in SIDES]
        infos = [self._node.resolve_topic_name(f"{side}/camera_info") for side in SIDES]
        return self._wanted_reliability(images), self._wanted_reliability(infos), self._wanted_durability(infos)

    def _wanted_durability(self, topics: list[str]) -> DurabilityPolicy:
        """Transient local where every publisher is, so that what was sent long ago still comes."""
        publishers = [publisher for topic in topics for publisher in self._node.get_publishers_info_by_topic(topic)]
        latched = [p.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL for p in publishers]
        return DurabilityPolicy.TRANSIENT_LOCAL if latched and all(latched) else DurabilityPolicy.VOLATILE

    def _wanted_reliability(self, topics: list[str]) -> ReliabilityPolicy:
        if self._choice != "auto":
            return RELIABILITIES[self._choice]
        for topic in topics:
            for publisher in self._node.get_publishers_info_by_topic(topic):
                if publisher.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT:
                    return ReliabilityPolicy.BEST_EFFORT
        return ReliabilityPolicy.RELIABLE
