"""The node's four subscriptions, which exist while pairs are wanted and follow the publishers' QoS."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSPolicyKind, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from apanet_ros.camera_info import CameraInfoCache
from apanet_ros.image_messages import receive
from apanet_ros.lost_messages import count_lost
from apanet_ros.parameters import NodeParameters
from apanet_ros.qos_monitor import NO_SUBSCRIPTION_EVENTS

try:
    from message_filters import SimpleFilter, Subscriber
except ImportError:
    from apanet_ros.message_filters_fallback import SimpleFilter, Subscriber

SIDES = ("left", "right")
SLEEP_AFTER_S = 2.0
# Whether rclpy hands a MessageInfo to a callback whose signature has room for it: from ROS 2 Iron on.
TELLS_MESSAGE_INFO = hasattr(Subscription, "CallbackType")
RELIABILITIES = {"reliable": ReliabilityPolicy.RELIABLE, "best_effort": ReliabilityPolicy.BEST_EFFORT}


class InputQos(NamedTuple):
    """QoS that follows the publishers: reliability of images, reliability and durability of CameraInfo."""

    images: ReliabilityPolicy
    infos: ReliabilityPolicy
    durability: DurabilityPolicy


class StereoSubscriptions:
    """Subscribes to both views and their CameraInfo while pairs are wanted; only for the executor's thread.

    A best-effort subscription receives from every publisher, but loses images above half a megabyte with Fast DDS's
    default transports. A reliable one receives only from reliable publishers. With "auto", the image subscriptions are
    therefore reliable unless a best-effort publisher is on one of their topics. The same holds for CameraInfo.

    Attributes:
        images: by side, a message_filters filter of `ReceivedImage`; it outlives the subscription that feeds it.
        infos: by side, the cache of received CameraInfo, which any thread may read.

    Args:
        node: the rclpy node.
        parameters: node parameters on activation.
        outputs: returns the topics whose subscribers want pairs, for the log.
        on_refused: called with the side, "left" or "right", and the error of a refused image.
        on_lost: called with the side and the number of images that were sent and did not arrive.
    """

    def __init__(
        self,
        node: Any,
        parameters: NodeParameters,
        outputs: Callable[[], str],
        on_refused: Callable[[str, Exception], None],
        on_lost: Callable[[str, int], None],
    ) -> None:
        # The synchronizer stays connected to these while `_subscribers` come and go; `_on_image` forwards good images.
        self.images = {side: SimpleFilter() for side in SIDES}
        self.infos = {side: CameraInfoCache() for side in SIDES}
        self._node, self._parameters, self._outputs = node, parameters, outputs
        self._on_refused, self._on_lost = on_refused, on_lost
        self._compressed = parameters.image_transport == "compressed"
        self._subscribers: list[Any] = []  # empty while asleep
        self._wanted_at = -math.inf
        self._asleep_said = False

    @property
    def awake(self) -> bool:
        """Whether the subscriptions exist."""
        return bool(self._subscribers)

    def subscriptions(self) -> list[Any]:
        """Return the rclpy subscriptions; empty while asleep."""
        return [subscriber.sub for subscriber in self._subscribers]

    def update(self, parameters: NodeParameters, wanted: bool) -> bool:
        """Subscribe, follow the publishers' QoS or unsubscribe; call this several times per second.

        Args:
            parameters: current node parameters.
            wanted: whether pairs are wanted.

        Returns:
            Whether it has just subscribed, so that images from before the pause are outdated.
        """
        self._parameters = parameters
        now = time.monotonic()
        if wanted:
            self._wanted_at = now
        if now - self._wanted_at > SLEEP_AFTER_S:
            self.close()
            if not self._asleep_said:
                self._node.get_logger().info(
                    f"asleep until a node subscribes to {self._outputs()}; the inputs will be {self.describe()}"
                )
                self._asleep_said = True
            return False
        if self.awake:
            self._follow_publishers()
            return False
        for infos in self.infos.values():
            infos.clear()  # the cameras may have been recalibrated during the pause
        self._open(self._wanted_qos())
        self._asleep_said = False
        self._node.get_logger().info(f"listening to {self.describe()}")
        return True

    def remap_problem(self) -> str:
        """Return a warning if both views come from one topic; else an empty text."""
        left, right = map(self._image_topic, SIDES)
        return f"both views come from one topic, {left}: remap one of them" if left == right else ""

    def describe_infos(self, sides: list[str]) -> str:
        """Return the remapped CameraInfo topics of `sides` with their numbers of publishers, for log messages."""
        return self._describe([self._info_topic(side) for side in sides])

    def describe(self) -> str:
        """Return the remapped image topics with their numbers of publishers, for log messages."""
        return self._describe([self._image_topic(side) for side in SIDES])

    def image_publishers(self) -> list[int]:
        """Return the numbers of publishers of the left and the right images."""
        return [self._node.count_publishers(self._image_topic(side)) for side in SIDES]

    def _describe(self, topics: list[str]) -> str:
        counts = [self._node.count_publishers(topic) for topic in topics]
        return ", ".join(
            f"{topic} ({count} publisher{'s' if count != 1 else ''})" for topic, count in zip(topics, counts)
        )

    def close(self) -> None:
        """Destroy the subscriptions."""
        for subscription in self.subscriptions():
            self._node.destroy_subscription(subscription)
        self._subscribers = []

    def _on_image(self, side: str, message: bytes | CompressedImage) -> None:
        """Check an image before pairing, since a broken one would take the place of a good one."""
        try:
            image = receive(message, self._parameters.max_megapixels)
        except Exception as error:  # noqa: BLE001 (no message may end the process)
            self._on_refused(side, error)
        else:
            self.images[side].signalMessage(image)

    def _follow_publishers(self) -> None:
        wanted = self._wanted_qos()
        if wanted == self._qos:
            return
        self.close()
        self._open(wanted)
        images, infos = wanted.images.name, wanted.infos.name
        self._node.get_logger().info(f"resubscribed with the publishers' QoS: images {images}, CameraInfo {infos}")

    def _open(self, qos: InputQos) -> None:
        self._qos = qos
        image_type = CompressedImage if self._compressed else Image
        try:
            for side in SIDES:
                images = self._subscribe(image_type, self._image_name(side), qos.images, raw=not self._compressed)
                images.registerCallback(partial(self._on_image, side))
                if TELLS_MESSAGE_INFO:
                    publishers = partial(self._node.count_publishers, self._image_topic(side))
                    images.sub.callback = count_lost(images.sub.callback, partial(self._on_lost, side), publishers)
            for side in SIDES:
                infos = self._subscribe(CameraInfo, f"{side}/camera_info", qos.infos, durability=qos.durability)
                infos.registerCallback(self.infos[side].add)
        except Exception:  # rclpy refuses a QoS override: destroy the subscriptions made before
            self.close()
            raise

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
            depth=self._parameters.queue_size,
            reliability=reliability,
            durability=durability,
        )
        subscriber = Subscriber(
            self._node,
            message_type,
            topic,
            qos_profile=profile,
            qos_overriding_options=QoSOverridingOptions([QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH]),
            event_callbacks=NO_SUBSCRIPTION_EVENTS,
            raw=raw,
        )
        self._subscribers.append(subscriber)
        return subscriber

    def _image_name(self, side: str) -> str:
        name = f"{side}/image_rect"
        if not self._compressed or self._node.resolve_topic_name(name).endswith("/compressed"):
            return name  # raw, or remapped to a compressed topic
        return compressed_topic(self._node, name)

    def _image_topic(self, side: str) -> str:
        return self._node.resolve_topic_name(self._image_name(side))

    def _info_topic(self, side: str) -> str:
        return self._node.resolve_topic_name(f"{side}/camera_info")

    def _wanted_qos(self) -> InputQos:
        images = [self._image_topic(side) for side in SIDES]
        infos = [self._info_topic(side) for side in SIDES]
        return InputQos(
            self._wanted_reliability(images), self._wanted_reliability(infos), self._wanted_durability(infos)
        )

    def _wanted_durability(self, topics: list[str]) -> DurabilityPolicy:
        """Return transient local if all publishers are, to receive messages sent before subscribing; else volatile."""
        offered = [profile.durability for profile in self._offered(topics)]
        latched = bool(offered) and all(durability == DurabilityPolicy.TRANSIENT_LOCAL for durability in offered)
        return DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE

    def _wanted_reliability(self, topics: list[str]) -> ReliabilityPolicy:
        if self._parameters.input_reliability != "auto":
            return RELIABILITIES[self._parameters.input_reliability]
        weakest = any(p.reliability == ReliabilityPolicy.BEST_EFFORT for p in self._offered(topics))
        return ReliabilityPolicy.BEST_EFFORT if weakest else ReliabilityPolicy.RELIABLE

    def _offered(self, topics: list[str]) -> list[QoSProfile]:
        """Return the QoS of every publisher on these topics."""
        return [info.qos_profile for topic in topics for info in self._node.get_publishers_info_by_topic(topic)]


def compressed_topic(node: Any, image: str) -> str:
    """Return the compressed topic of an image topic: its remapped name with /compressed, as in image_transport."""
    return f"{node.resolve_topic_name(image)}/compressed"
