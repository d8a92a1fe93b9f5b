"""Tests of two robots in two pushed namespaces, with launch_testing: each node derains the pairs of its cameras."""

import unittest

import pytest

pytest.importorskip("launch_testing", reason="launch_testing is not on PyPI; it comes with a ROS distribution")

import launch_testing
import rclpy
from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from launch.actions import GroupAction, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import PushRosNamespace, SetParameter, SetRemap
from launch_testing.actions import ReadyToTest
from node_rig import Rig, call, start_ros
from rcl_interfaces.srv import GetParameters
from sensor_msgs.msg import Image

from launch import LaunchDescription

ROBOTS = ("robot1", "robot2")
WITH_DEPTH = ("rclcpp_components", "stereo_image_proc")


def launch_file():
    """Return the path of the example with depth where its packages are installed, else that of the node alone."""
    share = get_package_share_directory("apanet_ros")
    try:
        for package in WITH_DEPTH:
            get_package_share_directory(package)
    except PackageNotFoundError:
        return f"{share}/launch/derain.launch.py"
    return f"{share}/launch/stereo_depth.launch.py"


@pytest.mark.launch_test
def generate_test_description():
    try:
        source = PythonLaunchDescriptionSource(launch_file())
    except PackageNotFoundError:
        pytest.skip("apanet_ros is not installed: colcon build it and source the workspace")
    arguments = {"namespace": "stereo", "engine": "torch"}
    groups = [
        GroupAction(
            [
                PushRosNamespace(robot),
                SetParameter("queue_size", 4 + number),
                SetRemap("left/image_rect", f"/{robot}/eye"),
                IncludeLaunchDescription(source, launch_arguments=arguments.items()),
            ]
        )
        for number, robot in enumerate(ROBOTS)
    ]
    return LaunchDescription([*groups, ReadyToTest()])


class TestWhileTheyRun(unittest.TestCase):
    def test_each_robot_answers_its_own_cameras_with_its_own_settings(self):
        start_ros()
        self.addCleanup(rclpy.shutdown)
        rigs = [Rig(namespace=f"/{robot}/stereo") for robot in ROBOTS]
        for robot, rig in zip(ROBOTS, rigs):
            rig.image_pub["left"] = rig.node.create_publisher(Image, f"/{robot}/eye", 50)
        for rig in rigs:
            rig.wait_until_heard()
        stamps = [rig.send_until_answered() for rig in rigs]
        for number, (robot, rig, own, other) in enumerate(zip(ROBOTS, rigs, stamps, reversed(stamps))):
            assert rig.received(own)
            assert not rig.received(other)
            request = GetParameters.Request(names=["queue_size"])
            answer = call(rig, GetParameters, f"/{robot}/stereo/derain/get_parameters", request)
            assert answer.values[0].integer_value == 4 + number
        for rig in rigs:
            rig.close()


@launch_testing.post_shutdown_test()
class TestAfterTheyEnded(unittest.TestCase):
    def test_derain_nodes_ended_cleanly(self, proc_info):
        codes = {ended.process_name: ended.returncode for ended in proc_info if "derain_node" in ended.process_name}
        assert len(codes) == len(ROBOTS)
        assert set(codes.values()) == {0}
