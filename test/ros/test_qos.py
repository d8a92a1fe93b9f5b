"""Tests of endpoints that do not match the node's QoS or type: log and diagnostics name them and the reason."""

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
    """Wait for `text` in the diagnostics, as a warning; check that the log has it too."""
    rig.diagnostics.clear()
    found = wait_for(lambda: next((a for a in list(rig.diagnostics) if text in a.status[0].message), None))
    assert found.status[0].level == DiagnosticStatus.WARN
    assert text in node.text()


def wait_until_well(rig):
    """Wait for the status OK; send pairs, since silent cameras cause a warning after some seconds."""
    rig.diagnostics.clear()

    def is_well():
        rig.send()
        return any(a.status[0].level == DiagnosticStatus.OK for a in list(rig.diagnostics))

    wait_for(is_well, 30, poll_s=0.2)


def test_best_effort_camera_with_reliable_subscription_is_reported(start):
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
    rig.send_until_answered()
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
def test_subscriber_with_incompatible_qos_is_reported(rig, node, profile, difference):
    rig.stop_listening()  # the mismatched subscriber does not wake the node
    subscription = rig.node.create_subscription(Image, "derained/left/image_rect", lambda message: None, profile)
    wait_until_said(rig, node, f"/rig receives no messages on /derained/left/image_rect: {difference}")
    rig.node.destroy_subscription(subscription)
    wait_until_well(rig)


def test_publisher_of_other_type_is_reported(rig, node):
    wait_until_well(rig)
    context = rclpy.Context()  # rclpy refuses a second type in the same context
    rclpy.init(args=[], context=context)
    other = rclpy.create_node("other", context=context)
    other.create_publisher(String, "left/image_rect", 10)
    wait_until_said(rig, node, "its type is std_msgs/msg/String, not sensor_msgs/msg/Image: remap")
    other.destroy_node()
    rclpy.shutdown(context=context)
    wait_until_well(rig)


def test_cameras_with_changing_reliability_do_not_break_pairing(rig, node):
    for number in range(20):
        reliability = (ReliabilityPolicy.BEST_EFFORT, ReliabilityPolicy.RELIABLE)[number % 2]
        others = Rig(reliability=reliability, listen=False)
        time.sleep(0.03 * (number % 5))  # at varying moments between discovery and resubscription
        others.close()
    wait_until_well(rig)
    rig.exchange()


def test_endpoints_have_no_event_handlers(ros):
    node = DerainNode(parameter_overrides=[Parameter("lazy", value=False), Parameter("engine", value="torch")])
    of_the_node_itself = set(node.waitables)
    assert node.autostart()
    heard = {subscription.topic_name for subscription in node.subscriptions}
    assert {"/left/image_rect", "/right/camera_info"} <= heard
    assert set(node.waitables) == of_the_node_itself
    node.on_shutdown(None)
    node.destroy_node()
