"""A camera process: camera.py SIDE HEIGHT WIDTH publishes at 20 Hz until it is killed."""

import sys
import time

import rclpy
from messages import image_message, info_message
from sensor_msgs.msg import CameraInfo, Image

PERIOD_NS = 50_000_000


def main():
    side, size = sys.argv[1], (int(sys.argv[2]), int(sys.argv[3]))
    rclpy.init(args=[])
    node = rclpy.create_node(f"{side}_camera")
    images = node.create_publisher(Image, f"{side}/image_rect", 10)
    infos = node.create_publisher(CameraInfo, f"{side}/camera_info", 10)
    while True:
        stamp = (time.time_ns() // PERIOD_NS + 1) * PERIOD_NS
        time.sleep(max(0.0, (stamp - time.time_ns()) / 1e9))
        infos.publish(info_message(stamp, side, size))
        images.publish(image_message(stamp, side, size=size))


if __name__ == "__main__":
    main()
