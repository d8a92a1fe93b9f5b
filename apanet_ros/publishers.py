"""The node's publishers of derained pairs and of the rain level."""

from __future__ import annotations

from typing import Any

from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Float32

from apanet_core.images import encodings
from apanet_core.images.encodings import RawImage, keeps_encoding
from apanet_ros.image_messages import ReceivedImage, SerializedImage, compressed_message, decode_message, write_image
from apanet_ros.qos_monitor import NO_PUBLISHER_EVENTS
from apanet_ros.subscriptions import SIDES, compressed_topic


class StereoPublishers:
    """Publishes pairs under derained/, and the rain level.

    Args:
        node: the lifecycle node.
    """

    def __init__(self, node: Any) -> None:
        self._node = node
        self._publishers: dict[tuple[str, str], Any] = {}
        try:
            self._level = self._publishers["", "level"] = node.create_lifecycle_publisher(
                Float32, "~/rain_level", 10, event_callbacks=NO_PUBLISHER_EVENTS
            )
            for side in SIDES:
                image = f"derained/{side}/image_rect"
                self._publishers[side, "image_rect"] = self._publisher(Image, image)
                self._publishers[side, "camera_info"] = self._publisher(CameraInfo, f"derained/{side}/camera_info")
                self._publishers[side, "compressed"] = self._publisher(CompressedImage, compressed_topic(node, image))
        except Exception:  # rclpy refuses a QoS override: destroy the publishers made before
            self.close()
            raise

    def has_subscribers(self) -> bool:
        """Return whether any output has a subscriber."""
        return any(publisher.get_subscription_count() for publisher in self.publishers())

    def describe(self) -> str:
        """Return the names of the image topics, remapped, for log messages."""
        left, right = (self._publishers[side, "image_rect"].topic_name for side in SIDES)
        return f"{left}, {right} or another output"

    def publishers(self) -> list[Any]:
        """Return all rclpy publishers."""
        return list(self._publishers.values())

    def messages(
        self, side: str, source: ReceivedImage, clean: RawImage | None, info: Any, jpeg_quality: int
    ) -> list[tuple[Any, Any]]:
        """Make the messages of one view without publishing them, so that a failure never publishes half a pair.

        Args:
            side: "left" or "right".
            source: the received image.
            clean: the derained image; None passes `source` unchanged.
            info: CameraInfo of the image, or None.
            jpeg_quality: JPEG quality of the compressed image, 1 to 100.

        Returns:
            Publishers and their messages; images only for topics with a subscriber.
        """
        messages, received = [], source.message
        if info is not None:
            messages.append((self._publishers[side, "camera_info"], info))
        compressed, raw = (self._publishers[side, name] for name in ("compressed", "image_rect"))
        if compressed.get_subscription_count():
            if clean is None and isinstance(received, CompressedImage):
                message = received
            else:
                message = compressed_message(clean or _passthrough_image(received), received, jpeg_quality)
            messages.append((compressed, message))
        if raw.get_subscription_count():
            if clean is None and isinstance(received, SerializedImage) and keeps_encoding(received.encoding):
                message = received.serialized
            else:
                message = write_image(clean or _passthrough_image(received), received.header)
            messages.append((raw, message))
        return messages

    def publish_level(self, level: float) -> None:
        """Publish the rain level."""
        self._level.publish(Float32(data=level))

    def close(self) -> None:
        """Destroy the publishers."""
        for publisher in self.publishers():
            self._node.destroy_lifecycle_publisher(publisher)

    def _publisher(self, message_type: type, topic: str) -> Any:
        options = QoSOverridingOptions.with_default_policies()
        return self._node.create_lifecycle_publisher(
            message_type,
            topic,
            QoSProfile(depth=5),
            qos_overriding_options=options,
            event_callbacks=NO_PUBLISHER_EVENTS,
        )


def _passthrough_image(source: Any) -> RawImage:
    """Convert a received image to the encoding that a derained image would have."""
    image = decode_message(source)
    return encodings.encode(encodings.decode(image), image)
