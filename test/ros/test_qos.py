"""Publishers and subscribers that cannot talk to the node: the log and the diagnostics say which and why."""

import time

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from node_rig import QUICK, Rig, wait_for
from rclpy.duration import Duration
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import String

from apanet_ros.derain_node import DerainNode

PROGRAM = QUICK


def wait_until_said(rig, node, text):
    """In the log, and in a report from now on."""
    rig.diagnostics.clear()
    found = wait_for(lambda: next((a for a in list(rig.diagnostics) if text in a.status[0].message), None), 30)
    assert found.status[0].level == DiagnosticStatus.WARN
    assert text in node.text()


def wait_until_well(rig):
    """Cameras that send meanwhile: silent ones are a warning of their own after some seconds."""
    rig.diagnostics.clear()

    def is_well():
        rig.send()
        return any(a.status[0].level == DiagnosticStatus.OK for a in list(rig.diagnostics))

    wait_for(is_well, 30, poll_s=0.2)


def test_a_best_effort_camera_before_a_reliable_subscription(start):
    node = start("-p", "input_reliability:=reliable", program=QUICK)
    rig = Rig()
    rig.wait_until_heard()
    wait_until_well(rig)
    camera = rig.node.create_publisher(
        Image, "left/image_rect", QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    )
    wait_until_said(
        rig,
        node,
        "no messages arrive on /left/image_rect from /rig: Best effort publisher and reliable subscription: "
        "set input_reliability to auto, or change the publisher",
    )
    rig.node.destroy_publisher(camera)
    wait_until_well(rig)
    rig.wait_for_pair(rig.send())
    rig.close()


@pytest.mark.parametrize(
    ("profile", "difference"),
    [
        (
            QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL),
            "Volatile publisher and transient local subscription",
        ),
        (QoSProfile(depth=1, deadline=Duration(seconds=0.25)), "Subscription deadline is less than publisher deadline"),
    ],
)
def test_a_subscriber_that_asks_for_more_than_is_offered(rig, node, profile, difference):
    rig.stop_listening()  # so that the node is asleep for all it knows
    subscription = rig.node.create_subscription(Image, "derained/left/image_rect", lambda message: None, profile)
    wait_until_said(rig, node, f"/rig receives no messages on /derained/left/image_rect: {difference}")
    rig.node.destroy_subscription(subscription)
    wait_until_well(rig)


def test_a_publisher_of_another_type(rig, node):
    wait_until_well(rig)
    context = rclpy.Context()  # in one process, rclpy itself refuses a second type
    rclpy.init(args=[], context=context)
    other = rclpy.create_node("other", context=context)
    other.create_publisher(String, "left/image_rect", 10)
    wait_until_said(rig, node, "its type is std_msgs/msg/String, not sensor_msgs/msg/Image: remap")
    other.destroy_node()
    rclpy.shutdown(context=context)
    wait_until_well(rig)


def test_cameras_that_come_and_go_with_another_reliability(rig, node):
    for number in range(20):
        reliability = (ReliabilityPolicy.BEST_EFFORT, ReliabilityPolicy.RELIABLE)[number % 2]
        others = Rig(reliability=reliability, listen=False)
        time.sleep(0.03 * (number % 5))  # so that the node is anywhere between seeing them and subscribing again
        others.close()
    wait_until_well(rig)
    rig.exchange()


def test_endpoints_that_the_node_drops_while_it_runs_have_no_event_handlers(ros):
    """With them, rclpy's events executor ends the process now and then (ros2/rclpy issue 1644)."""
    node = DerainNode(parameter_overrides=[Parameter("lazy", value=False), Parameter("engine", value="torch")])
    of_the_node_itself = set(node.waitables)
    assert node.autostart()
    heard = {subscription.topic_name for subscription in node.subscriptions}
    assert {"/left/image_rect", "/right/camera_info"} <= heard
    assert set(node.waitables) == of_the_node_itself
    node.on_shutdown(None)
    node.destroy_node()
