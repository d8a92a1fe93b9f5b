"""Drives the real node, in a process of its own, over DDS on the loopback."""

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from array import array
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
os.environ["ROS_DOMAIN_ID"] = str(20 + os.getpid() % 60)  # a domain of this test run's own

rclpy = pytest.importorskip("rclpy", reason="needs rclpy: make test installs it")

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image
from std_srvs.srv import SetBool

from apanet_ros.transport import prefer_large_shared_memory

SIDES = ("left", "right")
SYMMETRIC = ("rgb8", "bgr8", "rgba8", "bgra8", "mono8")  # encodings that come out as they went in
STAMPS = itertools.count(10**9, 10**9)  # one clock for all tests
FRAMES = {side: f"{side}_camera_optical_frame" for side in SIDES}


def wait_for(condition, timeout_s=20.0):
    """Poll until `condition()` is true, and return its value; fail the test when it never is."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"not within {timeout_s} s: {condition}")
        time.sleep(0.02)
    return value


def image_message(stamp_ns, side="left", size=(48, 64), encoding="rgb8", padding=0, seed=0):
    """A noise image whose rows are `padding` bytes longer than they need be."""
    channels = {"mono8": 1, "bayer_rggb8": 1, "yuv422_yuy2": 2, "rgba8": 4, "bgra8": 4}.get(encoding, 3)
    rows = np.random.default_rng(seed).integers(0, 256, (size[0], size[1] * channels + padding), dtype=np.uint8)
    message = Image(height=size[0], width=size[1], encoding=encoding, step=rows.shape[1])
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
    message.header.frame_id = FRAMES[side]
    message.data = array("B", rows.tobytes())
    return message


def info_message(stamp_ns, side="left", size=(48, 64)):
    message = CameraInfo(height=size[0], width=size[1], distortion_model="plumb_bob", d=[0.1, 0.2, 0.0, 0.0, 0.3])
    message.header = image_message(stamp_ns, side, size=(1, 1)).header
    message.p = [700.0, 0.0, 32.0, -378.0 if side == "right" else 0.0, 0.0, 700.0, 24.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    return message


class Rig:
    """Cameras and listener: publishes pairs, keeps what the node publishes."""

    def __init__(self, namespace="", reliability=ReliabilityPolicy.RELIABLE, listen=True):
        self.node = rclpy.create_node("rig")
        self.stamps = STAMPS
        self.images = {side: [] for side in SIDES}
        self.infos = {side: [] for side in SIDES}
        self.diagnostics = []
        profile = QoSProfile(depth=50, reliability=reliability)
        make = self.node.create_publisher
        self.image_pub = {s: make(Image, f"{namespace}/{s}/image_rect", profile) for s in SIDES}
        self.info_pub = {s: make(CameraInfo, f"{namespace}/{s}/camera_info", profile) for s in SIDES}
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self.diagnostics.append, 10)
        self._namespace, self._subscriptions = namespace, []
        if listen:
            self.listen()
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._executor.spin, daemon=True)
        self._thread.start()

    def listen(self):
        reliable = QoSProfile(depth=50)
        for side in SIDES:
            for message_type, name, store in (
                (Image, "image_rect", self.images),
                (CameraInfo, "camera_info", self.infos),
            ):
                topic = f"{self._namespace}/derained/{side}/{name}"
                self._subscriptions.append(
                    self.node.create_subscription(message_type, topic, store[side].append, reliable)
                )

    def stop_listening(self):
        for subscription in self._subscriptions:
            self.node.destroy_subscription(subscription)
        self._subscriptions.clear()

    def wait_until_heard(self):
        """Until the node takes what is sent, and what it publishes would come here."""
        publishers = [*self.image_pub.values(), *self.info_pub.values()]
        wait_for(lambda: all(p.get_subscription_count() for p in publishers), 60)
        wait_for(lambda: all(s.get_publisher_count() for s in self._subscriptions), 60)

    def send(self, stamp_ns=None, right_offset_ns=0, info=True, **image):
        """Publish a pair; returns its stamp."""
        stamp = next(self.stamps) if stamp_ns is None else stamp_ns
        size = image.get("size", (48, 64))
        for side, offset in zip(SIDES, (0, right_offset_ns)):
            if info:
                self.info_pub[side].publish(info_message(stamp + offset, side, size))
            self.image_pub[side].publish(image_message(stamp + offset, side, **image))
        return stamp

    def received(self, stamp_ns, side="left"):
        """The derained image with this stamp, or None."""
        return next((m for m in list(self.images[side]) if stamp_of(m) == stamp_ns), None)

    def wait_for_pair(self, stamp_ns, timeout_s=20.0):
        return tuple(wait_for(lambda s=side: self.received(stamp_ns, s), timeout_s) for side in SIDES)

    def enable(self, value, node="/derain"):
        client = self.node.create_client(SetBool, f"{node}/enable")
        assert client.wait_for_service(10)
        future = client.call_async(SetBool.Request(data=value))
        wait_for(future.done)
        return future.result()

    def close(self):
        self._executor.shutdown()
        self._thread.join()
        self.node.destroy_node()


def stamp_of(message):
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


class NodeProcess:
    """The derain_node executable."""

    def __init__(self, log: Path, *ros_arguments):
        self.log = log
        with log.open("w") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "apanet_ros.derain_node", "--ros-args", *ros_arguments], stdout=file, stderr=file
            )

    def text(self):
        return self.log.read_text()

    def end(self, signal_number=signal.SIGINT, timeout_s=10.0):
        """Send a signal; returns the exit code and the seconds it took."""
        start = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(signal_number)
        try:
            return self.process.wait(timeout_s), time.monotonic() - start
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            pytest.fail(f"the node did not end on signal {signal_number}:\n{self.text()}")


@pytest.fixture(scope="session")
def ros():
    prefer_large_shared_memory()
    rclpy.init(args=[])
    yield
    rclpy.try_shutdown()


@pytest.fixture(scope="module")
def node(ros, tmp_path_factory):
    """One node for the tests of a module, with default parameters."""
    process = NodeProcess(tmp_path_factory.mktemp("node") / "node.log")
    yield process
    code, _ = process.end()
    assert code == 0, process.text()
    assert "Traceback" not in process.text()


@pytest.fixture
def rig(node):
    rig = Rig()
    rig.wait_until_heard()
    yield rig
    rig.close()
