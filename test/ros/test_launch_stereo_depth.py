"""Tests of stereo_depth.launch.py under launch_testing: disparity and point cloud from rainy pairs."""

import unittest

import pytest

pytest.importorskip("launch_testing", reason="launch_testing is not on PyPI; it comes with a ROS distribution")

import launch_testing
import rclpy
from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_testing.actions import ReadyToTest
from messages import stamp_of
from node_rig import Rig, start_ros, wait_for
from sensor_msgs.msg import Image, PointCloud2
from stereo_msgs.msg import DisparityImage

from launch import LaunchDescription

NEEDED = ("apanet_ros", "rclcpp_components", "stereo_image_proc", "topic_tools")
SIZE = (60, 120)


@pytest.mark.launch_test
def generate_test_description():
    try:
        shares = {package: get_package_share_directory(package) for package in NEEDED}
    except PackageNotFoundError as missing:
        pytest.skip(f"not installed: {missing}")
    depth = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(f"{shares['apanet_ros']}/launch/stereo_depth.launch.py"),
        launch_arguments={"engine": "torch", "disparity_range": "32", "disparity_image": "true"}.items(),
    )
    return LaunchDescription([depth, ReadyToTest()])


class TestWhileItRuns(unittest.TestCase):
    def test_depth_comes_out_with_stamps_of_pairs(self):
        start_ros()
        self.addCleanup(rclpy.shutdown)
        rig = Rig(namespace="/stereo", listen=False)
        received = {}
        for message_type, name in (
            (DisparityImage, "disparity"),
            (PointCloud2, "points2"),
            (Image, "disparity_image"),
        ):
            keep = received.setdefault(name, [])
            rig.node.create_subscription(message_type, f"/stereo/derained/{name}", keep.append, 10)
        rig.wait_until_heard()
        sent = []

        def all_came():
            sent.append(rig.send(size=SIZE))
            rclpy.clock.Clock().sleep_for(rclpy.duration.Duration(seconds=0.2))
            return all(received.values())

        wait_for(all_came)
        for messages in received.values():
            assert stamp_of(messages[0]) in sent
        shown, (disparity, *_) = received["disparity_image"][0], received["disparity"]
        assert (shown.encoding, shown.height, shown.width) == ("mono8", *SIZE)
        assert disparity.image.encoding == "32FC1"
        assert disparity.max_disparity <= 32
        rig.close()


@launch_testing.post_shutdown_test()
class TestAfterItEnded(unittest.TestCase):
    def test_derain_node_ended_cleanly(self, proc_info):
        launch_testing.asserts.assertExitCodes(proc_info, process="derain_node")
