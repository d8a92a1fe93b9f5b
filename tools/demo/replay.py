"""Play a stereo bag to the real node over DDS at its recorded rate, and record the node's output."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import StoragePlugin, Writer
from sensor_msgs.msg import CameraInfo, Image

from apanet_core.bags.read import bag_root
from apanet_core.progress import progress_bar
from apanet_ros.stereo_sync import stamp_ns
from apanet_ros.transport import prefer_large_shared_memory
from tools.demo.recording import IMAGE, INFO, SIDES, TYPES, StereoBag

NODE_TIMEOUT_S = 120.0
LAST_PAIR_TIMEOUT_S = 15.0
RELIABLE = QoSProfile(depth=100)


class Replay:
    """Publishes the messages of a bag and writes those of the node into a new bag.

    Args:
        bag: the bag to play.
        output: folder of the new bag.

    Attributes:
        sent_at: stamp (ns) -> time.monotonic() when the second image of the pair was published.
        received_at: stamp (ns) -> time.monotonic() when the second derained image arrived.
    """

    def __init__(self, bag: StereoBag, output: Path) -> None:
        self.bag = bag
        self.sent_at: dict[int, float] = {}
        self.received_at: dict[int, float] = {}
        self._node = rclpy.create_node("derain_demo")
        self._writer = Writer(output, version=9, storage_plugin=StoragePlugin.MCAP)
        self._arrived: dict[str, set[int]] = {side: set() for side in SIDES}
        self._publishers: dict[str, Any] = {}
        for topics, message_type in ((bag.images, Image), (bag.infos, CameraInfo)):
            for topic in topics.values():
                self._publishers[topic] = self._node.create_publisher(message_type, topic, RELIABLE)

    def run(self, process: subprocess.Popen[bytes]) -> None:
        """Play all messages and wait for the last pair."""
        executor = SingleThreadedExecutor()
        executor.add_node(self._node)
        with self._writer:
            for side in SIDES:
                self._record(f"derained/{side}/image_rect", Image, IMAGE, side)
                self._record(f"derained/{side}/camera_info", CameraInfo, INFO, None)
            spinner = threading.Thread(target=executor.spin, daemon=True)
            spinner.start()
            try:
                self._wait_for_node(process)
                self._play()
            finally:
                executor.shutdown()
                spinner.join()
        self._node.destroy_node()

    def _record(self, topic: str, message_type: type, type_name: str, side: str | None) -> None:
        connection = self._writer.add_connection(self._node.resolve_topic_name(topic), type_name, typestore=TYPES)

        def write(data: bytes) -> None:
            message = deserialize_message(data, message_type)
            stamp = stamp_ns(message)
            self._writer.write(connection, stamp, data)
            if side is not None:
                self._arrived[side].add(stamp)
                if all(stamp in arrived for arrived in self._arrived.values()):
                    self.received_at[stamp] = time.monotonic()

        self._node.create_subscription(message_type, topic, write, RELIABLE, raw=True)

    def _wait_for_node(self, process: subprocess.Popen[bytes]) -> None:
        def listening() -> bool:
            return all(publisher.get_subscription_count() for publisher in self._publishers.values())

        wait_until(lambda: listening() or process.poll() is not None, NODE_TIMEOUT_S)
        if process.poll() is not None:
            raise ChildProcessError(f"the node ended at once with exit code {process.returncode}; its log says why")
        if not listening():
            raise TimeoutError(f"the node did not subscribe to the bag's topics within {NODE_TIMEOUT_S:.0f} s")

    def _play(self) -> None:
        images = set(self.bag.images.values())
        seen: dict[int, int] = {}
        with AnyReader([bag_root(self.bag.path)], default_typestore=TYPES) as reader:
            connections = [c for c in reader.connections if c.topic in self._publishers]
            started, first = time.monotonic(), None
            with progress_bar(total=self.bag.pairs, desc="play through the node", unit="pair") as bar:
                for connection, timestamp, data in reader.messages(connections):
                    first = timestamp if first is None else first
                    time.sleep(max(0.0, started + (timestamp - first) / 1e9 - time.monotonic()))
                    self._publishers[connection.topic].publish(bytes(data))
                    if connection.topic in images:
                        stamp = stamp_ns(reader.deserialize(data, connection.msgtype))
                        seen[stamp] = seen.get(stamp, 0) + 1
                        if seen[stamp] == 2:
                            self.sent_at[stamp] = time.monotonic()
                            bar.update()
                            bar.set_postfix(returned=len(self.received_at))
        # under load the node drops pairs for newer ones, but never the last one
        if self.sent_at:
            wait_until(lambda: max(self.sent_at) in self.received_at, LAST_PAIR_TIMEOUT_S)


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Poll `condition` until it holds; return False after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@contextmanager
def running_node(bag: StereoBag, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the real derain_node as a process, remapped to the topics of the bag; end it with SIGINT."""
    remaps = [f"{side}/image_rect:={bag.images[side]}" for side in SIDES]
    remaps += [f"{side}/camera_info:={topic}" for side, topic in bag.infos.items()]
    parameters = [f"warmup_height:={bag.size[0]}", f"warmup_width:={bag.size[1]}"]
    arguments = [*(a for r in remaps for a in ("-r", r)), *(a for p in parameters for a in ("-p", p))]
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "apanet_ros.derain_node", "--ros-args", *arguments], stdout=file, stderr=file
        )
        try:
            yield process
        finally:
            process.send_signal(2)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def replay(bag: StereoBag, output: Path, log: Path) -> Replay:
    """Run the node, play a bag to it and record its output.

    Args:
        bag: the bag to play.
        output: folder of the bag to record into, which must not exist.
        log: file for the node's log.

    Returns:
        The player, with the times at which pairs left and returned.

    Raises:
        TimeoutError: the node did not subscribe; its log is in `log`.
        ChildProcessError: the node ended before it subscribed.
    """
    prefer_large_shared_memory()
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    with running_node(bag, log) as process:
        rclpy.init(args=[])
        try:
            player = Replay(bag, output)
            player.run(process)
        finally:
            rclpy.try_shutdown()
    return player
