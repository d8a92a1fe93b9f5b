"""Tests of start, lifecycle states, parameters and exit of the node's process."""

import time
from types import SimpleNamespace

import pytest
from launch_stand_in import (
    ROOT,
    GroupAction,
    IncludeLaunchDescription,
    LaunchDescription,
    PushRosNamespace,
    SetParameter,
    SetRemap,
    nodes_of,
    ros_arguments,
)
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import GetState
from messages import SIDES, info_message, stamp_of
from node_rig import QUICK, Rig, call, change, wait_for
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import DescribeParameters, GetParameters, ListParameters, SetParameters
from rclpy.qos import DurabilityPolicy
from sensor_msgs.msg import Image

from apanet_ros.derain_node import main
from apanet_ros.guards import refuse_impossible_transitions
from apanet_ros.parameters import definitions


def state_of(rig, node="/derain"):
    return call(rig, GetState, f"{node}/get_state", GetState.Request(), ask_again_s=5).current_state.id


def set_parameter(rig, name, value):
    kinds = {bool: ("bool_value", ParameterType.PARAMETER_BOOL), str: ("string_value", ParameterType.PARAMETER_STRING)}
    field, kind = kinds.get(type(value), ("double_value", ParameterType.PARAMETER_DOUBLE))
    parameter = Parameter(name=name, value=ParameterValue(**{"type": kind, field: value}))
    return call(rig, SetParameters, "/derain/set_parameters", SetParameters.Request(parameters=[parameter])).results[0]


def test_lifecycle_manager_cycles_all_states_twice(start):
    node = start("-p", "autostart:=false", program=QUICK)
    rig = Rig()
    assert state_of(rig) == State.PRIMARY_STATE_UNCONFIGURED
    for _ in range(2):
        assert change(rig, Transition.TRANSITION_CONFIGURE)
        assert change(rig, Transition.TRANSITION_ACTIVATE)
        rig.wait_until_heard()
        rig.send_until_answered()
        assert change(rig, Transition.TRANSITION_DEACTIVATE)
        wait_for(lambda: not any(p.get_subscription_count() for p in rig.image_pub.values()))
        assert change(rig, Transition.TRANSITION_CLEANUP)
        assert state_of(rig) == State.PRIMARY_STATE_UNCONFIGURED
    rig.close()
    code, _ = node.end()
    assert code == 0, node.text()


def test_invalid_transition_is_refused_and_node_continues(start):
    node = start(program=QUICK)
    rig = Rig()
    rig.wait_until_heard()
    assert not change(rig, Transition.TRANSITION_CONFIGURE)
    assert not change(rig, 99)
    rig.send_until_answered()
    rig.close()
    code, _ = node.end()
    assert code == 0, node.text()


def test_rclpy_exception_in_transition_returns_failure():
    def change_state(request, response):
        raise RuntimeError("Transition is not registered")

    said = []
    node = SimpleNamespace(
        _service_change_state=SimpleNamespace(callback=change_state),
        get_logger=lambda: SimpleNamespace(error=said.append),
    )
    refuse_impossible_transitions(node)
    assert not node._service_change_state.callback(None, SimpleNamespace(success=True)).success
    assert said == ["transition refused: Transition is not registered"]


def test_parameters_are_described_validated_and_changed_at_runtime(start):
    start(program=QUICK)
    rig = Rig()
    rig.wait_until_heard()
    names = call(rig, ListParameters, "/derain/list_parameters", ListParameters.Request()).result.names
    ours = [
        n for n in names if "qos_overrides" not in n and n not in ("use_sim_time", "start_type_description_service")
    ]
    described = call(rig, DescribeParameters, "/derain/describe_parameters", DescribeParameters.Request(names=ours))
    assert all(d.description for d in described.descriptors)
    assert any("qos_overrides./left/image_rect" in n for n in names)

    refused = set_parameter(rig, "engine", "openvino")
    assert not refused.successful
    assert "clean up the node" in refused.reason
    assert not set_parameter(rig, "tolerance_s", -1.0).successful

    rig.send_until_answered()
    rig.wait_for_pair(rig.send())  # after that, a period is known
    assert set_parameter(rig, "approximate_sync", True).successful
    sent = []

    def came_back():  # the change takes effect within an update period
        sent.append(rig.send(right_offset_ns=2_000_000))
        time.sleep(0.1)
        return [s for s in sent if rig.received(s, "left") and rig.received(s + 2_000_000, "right")]

    wait_for(came_back)  # each view keeps its own stamp
    rig.close()


def test_latched_camera_info_is_received(start):
    rig = Rig(latched=DurabilityPolicy.TRANSIENT_LOCAL)
    for side, publisher in rig.info_pub.items():
        publisher.publish(info_message(5, side))
    start(program=QUICK)
    rig.wait_until_heard()
    stamp = rig.send_until_answered(info=False)
    for side in SIDES:
        info = next(info for info in rig.infos[side] if stamp_of(info) == stamp)
        assert info.p.tolist() == info_message(5, side).p.tolist()
    rig.close()


def test_camera_info_from_before_pause_is_not_reused(start):
    """The cameras may have been recalibrated during the pause."""
    start(program=QUICK)
    rig = Rig()
    rig.wait_until_heard()
    rig.exchange()
    assert change(rig, Transition.TRANSITION_DEACTIVATE)
    assert change(rig, Transition.TRANSITION_ACTIVATE)
    rig.wait_until_heard()
    rig.wait_for_pair(rig.send(info=False))
    assert not any(rig.infos.values())
    wait_for(lambda: any("no CameraInfo" in d.status[0].message for d in list(rig.diagnostics)))
    stamp = rig.send()
    rig.wait_for_pair(stamp)
    assert all(stamp_of(wait_for(lambda s=side: rig.infos[s])[0]) == stamp for side in SIDES)
    rig.close()


def test_unreadable_request_does_not_end_node(start):
    node = start(program=QUICK)
    rig = Rig()
    rig.wait_until_heard()
    unreadable = Parameter(name="tolerance_s", value=ParameterValue(type=99))  # rclpy raises in its callback
    client = rig.node.create_client(SetParameters, "/derain/set_parameters")
    assert client.wait_for_service(60)
    client.call_async(SetParameters.Request(parameters=[unreadable]))
    wait_for(lambda: "rclpy failed" in node.text() or node.process.poll() is not None)
    assert set_parameter(rig, "tolerance_s", 0.002).successful
    rig.send_until_answered()
    rig.close()
    code, _ = node.end()
    assert code == 0, node.text()


def test_remapped_output_remaps_its_compressed_topic(start):
    start("-r", "derained/left/image_rect:=/out/left", program=QUICK)
    rig = Rig()
    wait_for(lambda: rig.node.count_publishers("/out/left/compressed"))
    assert rig.node.count_publishers("/out/left")
    assert not rig.node.count_publishers("/derained/left/image_rect/compressed")
    rig.close()


def test_failed_subscription_is_reported_and_leaves_no_others(start):
    node = start("-p", "qos_overrides./right/image_rect.subscription.depth:=-3", program=QUICK)
    rig = Rig()
    wait_for(lambda: any("update: " in d.status[0].message for d in list(rig.diagnostics)))
    time.sleep(2)  # about twenty tries
    assert rig.image_pub["left"].get_subscription_count() <= 1
    assert "update failed" in node.text()
    rig.close()


def test_failed_publisher_leaves_no_others(start):
    override = "qos_overrides./derained/right/image_rect.publisher.depth:=-3"
    node = start("-p", "autostart:=false", "-p", override, program=QUICK)
    rig = Rig()
    for _ in range(2):
        assert not change(rig, Transition.TRANSITION_CONFIGURE)
        assert state_of(rig) == State.PRIMARY_STATE_UNCONFIGURED
    wait_for(lambda: not rig.node.count_publishers("/derained/left/image_rect"))
    assert node.process.poll() is None
    rig.close()


def test_topics_can_be_remapped_and_put_into_namespace(start):
    start("-r", "__ns:=/robot", "-r", "left/image_rect:=/cam/left/image_rect", program=QUICK)
    rig = Rig(namespace="/robot")
    rig.image_pub["left"] = rig.node.create_publisher(Image, "/cam/left/image_rect", 10)
    rig.wait_until_heard()
    rig.send_until_answered()
    rig.close()


def test_two_robots_in_pushed_namespaces_answer_own_cameras_only(start, monkeypatch):
    robots = ("robot1", "robot2")
    groups = [
        GroupAction(
            [
                PushRosNamespace(robot),
                SetParameter("queue_size", 4 + number),
                SetRemap("left/image_rect", f"/{robot}/eye"),
                IncludeLaunchDescription(
                    str(ROOT / "launch/stereo_depth.launch.py"), {"namespace": "stereo", "engine": "torch"}.items()
                ),
            ]
        )
        for number, robot in enumerate(robots)
    ]
    nodes = nodes_of(LaunchDescription(groups), monkeypatch)
    depth = [node for node in nodes if node.name == "depth_container"]
    assert [node.namespace for node in depth] == [f"/{robot}/stereo/derained" for robot in robots]
    assert not any("left/image_rect" in dict(node.remaps) for node in depth)
    for node in nodes:
        if node.name == "derain":
            start(*ros_arguments(node), program=QUICK)
    rigs = [Rig(namespace=f"/{robot}/stereo") for robot in robots]
    for robot, rig in zip(robots, rigs):
        rig.image_pub["left"] = rig.node.create_publisher(Image, f"/{robot}/eye", 50)
    for rig in rigs:
        rig.wait_until_heard()
    stamps = [rig.send_until_answered() for rig in rigs]
    for number, (robot, rig, own, other) in enumerate(zip(robots, rigs, stamps, reversed(stamps))):
        assert rig.received(own)
        assert not rig.received(other)
        request = GetParameters.Request(names=["queue_size"])
        answer = call(rig, GetParameters, f"/{robot}/stereo/derain/get_parameters", request)
        assert answer.values[0].integer_value == 4 + number
        # each is told from the other in /diagnostics
        wait_for(lambda r=robot: any(r in s.name for m in list(rigs[0].diagnostics) for s in m.status))
    for rig in rigs:
        rig.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-p", "engine:=magic"], "engine must be one of auto, torch, openvino: got 'magic'"),
        (["-p", "tolerance_s:=99.0"], "tolerance_s"),
        (["-p", "warmup_width:=640"], "warmup_width and warmup_height belong together"),
        (["-p", "input_reliability:=foo"], "input_reliability must be one of auto, reliable, best_effort: got 'foo'"),
        (["-r", "__ns:=bad name"], "error"),
        (["-p", "model:=/nowhere.safetensors"], "no checkpoint at /nowhere.safetensors"),
    ],
)
def test_invalid_parameter_is_reported_and_ends_process(start, arguments, message):
    node = start(*arguments)
    assert node.process.wait(60) == 1
    assert message in node.text()
    assert "Traceback" not in node.text()


def test_stopped_simulated_time_does_not_block_pairs(start):
    start("-p", "use_sim_time:=true", program=QUICK)
    rig = Rig()
    rig.wait_until_heard()
    rig.send_until_answered()
    array = wait_for(lambda: rig.diagnostics and rig.diagnostics[-1])
    assert array.header.stamp.sec == 0  # nobody publishes /clock
    rig.close()


def test_unequal_stamps_are_reported_with_remedy(start):
    node = start(program=QUICK)
    rig = Rig()
    rig.wait_until_heard()
    wait_for(lambda: rig.send(right_offset_ns=4_000_000) and "no pairs:" in node.text())
    assert "differ by 4.000 ms: set approximate_sync" in node.text()
    rig.close()


def test_wrong_remap_file_or_duplicate_name_is_warned_of(start, tmp_path):
    (tmp_path / "other.yaml").write_text("/other:\n  ros__parameters: {lazy: false}\n")
    remap, file = "right/image_rect:=left/image_rect", str(tmp_path / "other.yaml")
    first = start("-p", "lazy:=false", "-r", remap, "--params-file", file, program=QUICK)
    wait_for(lambda: "both views come from one topic, /left/image_rect: remap one of them" in first.text())
    assert "other.yaml has no section for /derain: add one called /derain or /**" in first.text()
    start("-p", "lazy:=false", program=QUICK)
    rig = Rig(listen=False)
    wait_for(lambda: any("nodes are called /derain" in d.status[0].message for d in list(rig.diagnostics)))
    rig.close()


def test_help_names_every_parameter(capsys):
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(f"  {name} (" in printed for name in definitions())
