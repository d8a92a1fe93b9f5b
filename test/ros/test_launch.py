"""Tests of derain.launch.py under launch_testing: the node derains pairs and ends cleanly."""

import unittest

import pytest

pytest.importorskip("launch_testing", reason="launch_testing is not on PyPI; it comes with a ROS distribution")

import launch_testing
import rclpy
from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_testing.actions import ReadyToTest
from messages import FRAMES
from node_rig import Rig, start_ros
from sensor_msgs.msg import Image

from launch import LaunchDescription


@pytest.mark.launch_test
def generate_test_description():
    try:
        share = get_package_share_directory("apanet_ros")
    except PackageNotFoundError:
        pytest.skip("apanet_ros is not installed: colcon build it and source the workspace")
    derain = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(f"{share}/launch/derain.launch.py"),
        launch_arguments={
            "namespace": "stereo",
            "engine": "torch",
            "left_image": "/camera/left",
            "enclave": "/derain",
        }.items(),
    )
    return LaunchDescription([derain, ReadyToTest()])


class TestWhileItRuns(unittest.TestCase):
    def test_pairs_come_back_from_remapped_topics_in_namespace(self):
        start_ros()
        self.addCleanup(rclpy.shutdown)
        rig = Rig(namespace="/stereo")
        rig.image_pub["left"] = rig.node.create_publisher(Image, "/camera/left", 10)
        rig.wait_until_heard()
        pair = rig.wait_for_pair(rig.send())
        assert [view.header.frame_id for view in pair] == list(FRAMES.values())
        assert ("derain", "/stereo", "/derain") in rig.node.get_node_names_and_namespaces_with_enclaves()
        rig.close()


@launch_testing.post_shutdown_test()
class TestAfterItEnded(unittest.TestCase):
    def test_every_process_ended_cleanly(self, proc_info):
        launch_testing.asserts.assertExitCodes(proc_info)
