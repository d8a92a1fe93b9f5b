"""Start, states, parameters and end of the node's process."""

import signal
import time

import pytest
from conftest import NodeProcess, Rig, wait_for
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import DescribeParameters, ListParameters, SetParameters


@pytest.fixture
def start(ros, tmp_path):
    processes = []

    def start(*ros_arguments):
        processes.append(NodeProcess(tmp_path / f"node{len(processes)}.log", *ros_arguments))
        return processes[-1]

    yield start
    for process in processes:
        process.end()


def call(rig, service_type, name, request):
    client = rig.node.create_client(service_type, name)
    assert client.wait_for_service(30)
    future = client.call_async(request)
    wait_for(future.done, 60)
    return future.result()


def state_of(rig, node="/derain"):
    return call(rig, GetState, f"{node}/get_state", GetState.Request()).current_state.id


def change(rig, transition, node="/derain"):
    request = ChangeState.Request(transition=Transition(id=transition))
    return call(rig, ChangeState, f"{node}/change_state", request).success


def set_parameter(rig, name, value):
    kinds = {bool: ("bool_value", ParameterType.PARAMETER_BOOL), str: ("string_value", ParameterType.PARAMETER_STRING)}
    field, kind = kinds.get(type(value), ("double_value", ParameterType.PARAMETER_DOUBLE))
    parameter = Parameter(name=name, value=ParameterValue(**{"type": kind, field: value}))
    return call(rig, SetParameters, "/derain/set_parameters", SetParameters.Request(parameters=[parameter])).results[0]


def test_a_manager_can_take_it_through_every_state_twice(start):
    node = start("-p", "autostart:=false", "-p", "engine:=torch")
    rig = Rig()
    assert state_of(rig) == State.PRIMARY_STATE_UNCONFIGURED
    for _ in range(2):
        assert change(rig, Transition.TRANSITION_CONFIGURE)
        assert change(rig, Transition.TRANSITION_ACTIVATE)
        rig.wait_until_heard()
        rig.wait_for_pair(rig.send())
        assert change(rig, Transition.TRANSITION_DEACTIVATE)
        wait_for(lambda: not any(p.get_subscription_count() for p in rig.image_pub.values()))
        assert change(rig, Transition.TRANSITION_CLEANUP)
        assert state_of(rig) == State.PRIMARY_STATE_UNCONFIGURED
    rig.close()
    code, _ = node.end()
    assert code == 0, node.text()


def test_parameters_are_described_checked_and_changed_while_running(start):
    start("-p", "engine:=torch")
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

    rig.wait_for_pair(rig.send())
    rig.wait_for_pair(rig.send())  # a period has been seen
    assert set_parameter(rig, "approximate_sync", True).successful
    sent = []

    def came_back():  # the change takes effect within a housekeeping period
        sent.append(rig.send(right_offset_ns=2_000_000))
        time.sleep(0.1)
        return [s for s in sent if rig.received(s, "left") and rig.received(s + 2_000_000, "right")]

    wait_for(came_back)  # each view keeps its own stamp
    rig.close()


def test_topics_can_be_remapped_and_put_into_a_namespace(start):
    start("-r", "__ns:=/robot", "-p", "engine:=torch", "-r", "left/image_rect:=/cam/left/image_rect")
    rig = Rig(namespace="/robot")
    from sensor_msgs.msg import Image

    rig.image_pub["left"] = rig.node.create_publisher(Image, "/cam/left/image_rect", 10)
    rig.wait_until_heard()
    rig.wait_for_pair(rig.send())
    rig.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-p", "engine:=magic"], "unknown engine 'magic': choose one of auto, torch, openvino, onnxruntime"),
        (["-p", "tolerance_s:=99.0"], "tolerance_s"),
        (["-p", "input_reliability:=foo"], "input_reliability must be one of auto, reliable, best_effort: got 'foo'"),
        (["-r", "__ns:=bad name"], "error"),
        (["-p", "model:=/nowhere.safetensors"], "no checkpoint at /nowhere.safetensors"),
    ],
)
def test_a_wrong_parameter_is_said_and_ends_the_process(start, arguments, message):
    node = start(*arguments)
    assert node.process.wait(60) == 1
    assert message in node.text()
    assert "Traceback" not in node.text()


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it_cleanly_and_soon(start, signal_number):
    node = start("-p", "engine:=torch")
    rig = Rig()
    rig.wait_until_heard()
    rig.send()
    code, seconds = node.end(signal_number)
    rig.close()
    assert code == 0, node.text()
    assert seconds < 5
    assert "Traceback" not in node.text()


def test_a_second_interrupt_does_not_spoil_the_clean_end(start):
    node = start("-p", "engine:=torch")
    wait_for(lambda: "nobody subscribes" in node.text(), 60)
    node.process.send_signal(signal.SIGINT)
    code, _ = node.end(signal.SIGINT)
    assert code == 0, node.text()
    assert "Traceback" not in node.text()


def test_simulated_time_that_stands_still_stops_nothing(start):
    start("-p", "engine:=torch", "-p", "use_sim_time:=true")
    rig = Rig()
    rig.wait_until_heard()
    rig.wait_for_pair(rig.send())
    array = wait_for(lambda: rig.diagnostics and rig.diagnostics[-1])
    assert array.header.stamp.sec == 0  # nobody publishes /clock
    rig.close()


def test_nothing_pairs_is_explained(start):
    node = start("-p", "engine:=torch")
    rig = Rig()
    rig.wait_until_heard()
    stamp = next(rig.stamps)
    wait_for(lambda: rig.send(stamp_ns=stamp, right_offset_ns=4_000_000) and "no pairs:" in node.text(), 30)
    assert "differ by 4.000 ms at least: set approximate_sync" in node.text()
    rig.close()
