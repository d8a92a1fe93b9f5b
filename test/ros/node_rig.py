"""Runs the real node in a separate process and drives it over DDS: cameras, subscribers, services, signals."""

import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from messages import SIDES, image_message, info_message, stamp_of
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image
from std_srvs.srv import SetBool

from apanet_ros.transport import prefer_large_shared_memory

os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
# The domains of this pytest-xdist worker, among those that every system allows, starting at a varying one.
_WORKER, _WORKERS = (
    int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]),
    int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1)),
)
_OURS = range(1 + _WORKER, 75, _WORKERS)
_DOMAINS = itertools.islice(itertools.cycle(_OURS), os.getpid() % len(_OURS), None)


def _is_free(domain: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("", 7400 + 250 * domain + 10))  # port of a domain's first participant (RTPS 9.6.1.1)
        except OSError:
            return False
    return True


def own_domain() -> str:
    """Set a ROS domain that is free on this machine, for this process and its future child processes; return it."""
    os.environ["ROS_DOMAIN_ID"] = domain = str(next(filter(_is_free, _DOMAINS)))
    return domain


own_domain()

NODE = ("-m", "apanet_ros.derain_node")
FAULTY_NETWORK = str(Path(__file__).with_name("faulty_network_node.py"))  # a program for `NodeProcess`
QUICK = (
    FAULTY_NETWORK,
    "no orders",
)  # the node with a fast network, for tests that do not check pixels
SYMMETRIC = ("rgb8", "bgr8", "rgba8", "bgra8", "mono8")  # encodings that derained images keep
STAMPS = itertools.count(10**9, 10**9)  # one clock for all tests


def wait_for(condition, timeout_s=180.0, poll_s=0.02):
    """Poll until `condition()` is true and return its value; fail the test after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"not within {timeout_s} s: {condition}")
        time.sleep(poll_s)
    return value


class Rig:
    """Cameras and subscribers: publishes pairs and stores the messages from the node."""

    def __init__(
        self, namespace="", reliability=ReliabilityPolicy.RELIABLE, listen=True, latched=DurabilityPolicy.VOLATILE
    ):
        self.node = rclpy.create_node("rig")
        self.stamps = STAMPS
        self.images = {side: [] for side in SIDES}
        self.infos = {side: [] for side in SIDES}
        self.diagnostics = []
        profile = QoSProfile(depth=50, reliability=reliability)
        make = self.node.create_publisher
        self.image_pub = {s: make(Image, f"{namespace}/{s}/image_rect", profile) for s in SIDES}
        of_infos = QoSProfile(depth=50, reliability=reliability, durability=latched)
        self.info_pub = {s: make(CameraInfo, f"{namespace}/{s}/camera_info", of_infos) for s in SIDES}
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
        """Wait until the node has subscribed and its outputs are connected to this rig."""
        publishers = [*self.image_pub.values(), *self.info_pub.values()]
        wait_for(lambda: all(p.get_subscription_count() for p in publishers))
        wait_for(lambda: all(s.get_publisher_count() for s in self._subscriptions))
        # Discovery is ordered: a node that answers the service knows all subscriptions made before the client.
        call(self, GetState, f"{self._namespace}/derain/get_state", GetState.Request(), ask_again_s=5)

    def exchange(self):
        """Send pairs until one returns, so that all topics are connected; then clear the stored messages."""
        self.send_until_answered()
        for store in (*self.images.values(), *self.infos.values()):
            store.clear()

    def send_until_answered(self, **options):
        """Send pairs until both views of one and their CameraInfo return; return its stamp.

        The options are those of `send`.
        """
        stores = (*self.images.values(), *self.infos.values())
        for _ in range(60):
            stamp = self.send(**options)
            deadline = time.monotonic() + 1
            while time.monotonic() < deadline:
                if all(any(stamp_of(m) == stamp for m in [*store]) for store in stores):
                    return stamp
                time.sleep(0.02)
        return pytest.fail("no pair returned within a minute")

    def send(self, stamp_ns=None, right_offset_ns=0, info=True, **image):
        """Publish a pair; returns its stamp."""
        stamp = next(self.stamps) if stamp_ns is None else stamp_ns
        size = image.get("size", (48, 64))
        for side, offset in zip(SIDES, (0, right_offset_ns)):
            if info:
                self.info_pub[side].publish(info_message(stamp + offset, side, size))
            self.image_pub[side].publish(image_message(stamp + offset, side, **image))
        return stamp

    def forget(self):
        """Clear the stored messages."""
        for store in (*self.images.values(), *self.infos.values(), self.diagnostics):
            store.clear()

    def received(self, stamp_ns, side="left"):
        """Return the derained image with this stamp, or None."""
        return next((m for m in list(self.images[side]) if stamp_of(m) == stamp_ns), None)

    def wait_for_pair(self, stamp_ns, poll_s=0.02):
        return tuple(wait_for(lambda s=side: self.received(stamp_ns, s), poll_s=poll_s) for side in SIDES)

    def enable(self, value, node="/derain"):
        client = self.node.create_client(SetBool, f"{node}/enable")
        assert client.wait_for_service(60)
        future = client.call_async(SetBool.Request(data=value))
        wait_for(future.done)
        return future.result()

    def close(self):
        self._executor.shutdown()
        self._thread.join()
        self.node.destroy_node()


class NodeProcess:
    """A process of derain_node or of another program."""

    def __init__(self, log: Path, *ros_arguments, program=NODE):
        self.log = log
        command = [sys.executable, "-X", "faulthandler", *program, "--ros-args", *ros_arguments]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}  # the code under test
        with log.open("w") as file:
            self.process = subprocess.Popen(command, stdout=file, stderr=file, env=environment)

    def text(self):
        return self.log.read_text()

    def shared_memory(self):
        """Return the lock files of its DDS segments, which a clean exit removes."""
        files = [path.readlink() for path in Path(f"/proc/{self.process.pid}/fd").iterdir()]
        return [path for path in files if path.match("/dev/shm/fastdds_[0-9a-f]*_el")]

    def end(self, signal_number=signal.SIGINT, timeout_s=60.0):
        """Send a signal; return the exit code and the seconds until the exit."""
        start = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(signal_number)
        try:
            return self.process.wait(timeout_s), time.monotonic() - start
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)  # faulthandler prints the stacks
            self.process.wait()
            pytest.fail(f"the node did not end on signal {signal_number}:\n{self.text()}")


def call(rig, service_type, name, request, ask_again_s=60.0):
    """Return the response of a service; repeat only idempotent requests, since DDS may lose the first."""
    client = rig.node.create_client(service_type, name)
    assert client.wait_for_service(60)
    asked, futures = time.monotonic(), [client.call_async(request)]

    def answered():
        nonlocal asked
        if time.monotonic() - asked > ask_again_s:
            asked = time.monotonic()
            futures.append(client.call_async(request))
        return next((future for future in futures if future.done()), None)

    answer = wait_for(answered).result()
    rig.node.destroy_client(client)
    return answer


def change(rig, transition, node="/derain"):
    """Request a lifecycle transition; return whether it succeeded."""
    request = ChangeState.Request(transition=Transition(id=transition))
    return call(rig, ChangeState, f"{node}/change_state", request).success


def smooth_scene():
    """Return a clean pair of 192x96 px with a disparity of 20 px everywhere."""
    from tools.demo.recording import Truth  # imported here, since it needs rosbags

    small = np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)
    wide = cv2.resize(small, (212, 96), interpolation=cv2.INTER_CUBIC)
    return Truth(wide[:, :192].copy(), wide[:, 20:].copy(), np.full((96, 192), 20.0))


def start_ros():
    """Initialise rclpy in the current ROS domain."""
    prefer_large_shared_memory()
    rclpy.init(args=[])
