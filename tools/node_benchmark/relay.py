"""Run the reference: a bare rclpy node that publishes every image that it receives."""

from __future__ import annotations

import contextlib

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

from apanet_ros.transport import prefer_large_shared_memory

SIDES = ("left", "right")


class Relay(Node):
    """Publishes left/image_rect and right/image_rect under relayed/."""

    def __init__(self) -> None:
        super().__init__("relay")
        for side in SIDES:
            publisher = self.create_publisher(Image, f"relayed/{side}/image_rect", QoSProfile(depth=5))
            self.create_subscription(Image, f"{side}/image_rect", publisher.publish, QoSProfile(depth=10))


if __name__ == "__main__":
    prefer_large_shared_memory()
    rclpy.init()
    with contextlib.suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(Relay())
