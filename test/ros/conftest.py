"""Fixtures: a ROS domain, the node's process, and a rig of cameras and subscribers."""

import pytest

rclpy = pytest.importorskip("rclpy", reason="needs rclpy: make test installs it")

from node_rig import NODE, NodeProcess, Rig, own_domain, start_ros


@pytest.fixture(scope="module")
def ros():
    """A separate domain for the module, without remains of nodes that other modules ended or killed."""
    own_domain()
    start_ros()
    yield
    rclpy.try_shutdown()


@pytest.fixture(scope="module")
def node(ros, request, tmp_path_factory):
    """One node for the tests of a module, with default parameters; runs `PROGRAM` of the module if defined."""
    program = getattr(request.module, "PROGRAM", NODE)
    process = NodeProcess(tmp_path_factory.mktemp("node") / "node.log", program=program)
    yield process
    code, _ = process.end()
    assert code == 0, process.text()
    assert "Traceback" not in process.text()


@pytest.fixture
def start(ros, tmp_path):
    """Start node processes, which end with the test."""
    processes = []

    def start(*ros_arguments, **options):
        processes.append(NodeProcess(tmp_path / f"node{len(processes)}.log", *ros_arguments, **options))
        return processes[-1]

    yield start
    for process in processes:
        process.end()


@pytest.fixture
def rig(node):
    rig = Rig()
    rig.wait_until_heard()
    yield rig
    rig.close()
