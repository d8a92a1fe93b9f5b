"""The node's publishers of pairs, made and dropped together."""

from __future__ import annotations

from typing import Any

from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Float32

from apanet_core.runtime import encodings
from apanet_core.runtime.encodings import RawImage
from apanet_ros.image_codec import compressed_message, image_message, unpacked
from apanet_ros.inputs import SIDES

_TYPES = {"image_rect": Image, "image_rect/compressed": CompressedImage, "camera_info": CameraInfo}


class StereoOutputs:
    """Publishes under derained/, and the rain level.

    Args:
        node: the lifecycle node.
    """

    def __init__(self, node: Any) -> None:
        self._node = node
        self._publishers = {
            (side, name): self._publisher(message_type, f"derained/{side}/{name}")
            for side in SIDES
            for name, message_type in _TYPES.items()
        }
        self._level = node.create_lifecycle_publisher(Float32, "~/rain_level", 10)

    def has_listeners(self) -> bool:
        """Whether anybody subscribes to anything."""
        publishers = [*self._publishers.values(), self._level]
        return any(publisher.get_subscription_count() for publisher in publishers)

    def publish(self, side: str, source: Any, clean: RawImage | None, info: Any, jpeg_quality: int) -> None:
        """Publish one view.

        Args:
            side: "left" or "right".
            source: the Image or CompressedImage that came.
            clean: what was made of it; None passes it untouched.
            info: its CameraInfo, or None.
            jpeg_quality: of the compressed image, which is made when somebody subscribes to it.
        """
        if info is not None:
            self._publishers[side, "camera_info"].publish(info)
        came_compressed = isinstance(source, CompressedImage)
        compressed = self._publishers[side, "image_rect/compressed"]
        if compressed.get_subscription_count():
            if clean is None and came_compressed:
                compressed.publish(source)
            else:
                image = clean or encodings.encode(encodings.decode(source), source)
                compressed.publish(compressed_message(image, source, jpeg_quality))
        raw = self._publishers[side, "image_rect"]
        if clean is not None:
            raw.publish(image_message(clean, source.header))
        elif not came_compressed:
            raw.publish(source)
        elif raw.get_subscription_count():
            raw.publish(image_message(unpacked(source), source.header))

    def publish_level(self, level: float) -> None:
        """Publish the rain level."""
        self._level.publish(Float32(data=level))

    def close(self) -> None:
        """Drop the publishers."""
        for publisher in (*self._publishers.values(), self._level):
            self._node.destroy_lifecycle_publisher(publisher)

    def _publisher(self, message_type: type, topic: str) -> Any:
        options = QoSOverridingOptions.with_default_policies()
        return self._node.create_lifecycle_publisher(
            message_type, topic, QoSProfile(depth=5), qos_overriding_options=options
        )
