"""The node's four subscriptions, made and dropped together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.qos import HistoryPolicy, QoSPolicyKind, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from apanet_ros.stereo_sync import CameraInfoCache, StereoSynchronizer

try:
    from message_filters import Subscriber
except ImportError:
    from apanet_ros.ros_standins import Subscriber

SIDES = ("left", "right")
RELIABILITIES = {"reliable": ReliabilityPolicy.RELIABLE, "best_effort": ReliabilityPolicy.BEST_EFFORT}


class StereoInputs:
    """Subscribes to both views and their CameraInfo, and hands out pairs.

    A best-effort subscription hears every publisher, but with Fast DDS's default transports it loses images above half
    a megabyte; a reliable one hears reliable publishers only. So with "auto" the subscriptions are reliable until a
    best-effort publisher is on one of the topics.

    Args:
        node: the rclpy node.
        on_pair: called with the left and the right image message in the receiving thread.
        tolerance_s: largest stamp difference within a pair.
        queue_size: messages per view that wait for their partner.
        reliability: "auto", "reliable" or "best_effort".
        compressed: take CompressedImage from image_rect/compressed.
    """

    def __init__(
        self,
        node: Any,
        on_pair: Callable[[Any, Any], None],
        tolerance_s: float,
        queue_size: int,
        reliability: str = "auto",
        compressed: bool = False,
    ) -> None:
        self._compressed = compressed
        self._image_type = CompressedImage if compressed else Image
        self._node, self._queue_size, self._choice = node, queue_size, reliability
        self.infos = {side: CameraInfoCache() for side in SIDES}
        self._open(self._wanted_reliability())
        self.synchronizer = StereoSynchronizer(self._images["left"], self._images["right"], tolerance_s, queue_size)
        self.synchronizer.registerCallback(on_pair)

    def renew(self) -> bool:
        """Subscribe again when the publishers want another reliability; whether it was needed."""
        wanted = self._wanted_reliability()
        if wanted == self.reliability:
            return False
        self.close()
        self._open(wanted)
        self.synchronizer.connectInput(self._images["left"], self._images["right"])
        return True

    def close(self) -> None:
        """Drop the subscriptions."""
        for filters in (self._images, self._info_filters):
            for subscriber in filters.values():
                self._node.destroy_subscription(subscriber.sub)

    def why_nothing_pairs(self, received_before: list[int]) -> str:
        """What was received since the last pair and what to do about it, for the log."""
        counts = self.synchronizer.matcher.counts
        left, right = (now - before for now, before in zip(counts.received, received_before))
        if left == right == 0:
            reason = "check the remaps"
        elif left == 0 or right == 0:
            reason = "one camera is silent"
        else:
            apart = "" if counts.nearest_ns is None else f" by {counts.nearest_ns / 1e6:.3f} ms at least"
            reason = f"the stamps differ{apart}: set approximate_sync, and tolerance_s above that"
        return f"no pairs: {left} left and {right} right images on {self.describe()}; {reason}"

    def describe(self) -> str:
        """The image topics after remapping, with their number of publishers, for log messages."""
        topics = [self._image_topic(side) for side in SIDES]
        return ", ".join(f"{topic} ({self._node.count_publishers(topic)} publishers)" for topic in topics)

    def _open(self, reliability: ReliabilityPolicy) -> None:
        self.reliability = reliability
        self._images = {side: self._subscribe(self._image_type, self._image_name(side)) for side in SIDES}
        self._info_filters = {side: self._subscribe(CameraInfo, f"{side}/camera_info") for side in SIDES}
        for side in SIDES:
            self._info_filters[side].registerCallback(self.infos[side].add)

    def _subscribe(self, message_type: type, topic: str) -> Any:
        profile = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=self._queue_size, reliability=self.reliability)
        options = QoSOverridingOptions([QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH])
        return Subscriber(self._node, message_type, topic, qos_profile=profile, qos_overriding_options=options)

    def _image_name(self, side: str) -> str:
        """As image_transport has it: /compressed comes behind whatever the image topic was remapped to."""
        name = f"{side}/image_rect"
        return f"{self._node.resolve_topic_name(name)}/compressed" if self._compressed else name

    def _image_topic(self, side: str) -> str:
        return self._node.resolve_topic_name(self._image_name(side))

    def _wanted_reliability(self) -> ReliabilityPolicy:
        if self._choice != "auto":
            return RELIABILITIES[self._choice]
        topics = [self._image_topic(side) for side in SIDES]
        topics += [self._node.resolve_topic_name(f"{side}/camera_info") for side in SIDES]
        for topic in topics:
            for publisher in self._node.get_publishers_info_by_topic(topic):
                if publisher.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT:
                    return ReliabilityPolicy.BEST_EFFORT
        return ReliabilityPolicy.RELIABLE
