"""Compare the latency of the node with that of a bare relay.

Run: python -m tools.node_benchmark [--sizes 1280x720 1920x1080 --pairs 100]

Pairs go over DDS in turn to a process that relays them and to the node with an engine that returns its input. The time
runs from the publication of the first image of a pair to the arrival of both derained images.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import threading
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

from apanet_core.progress import progress_bar
from apanet_ros.image_messages import read_image
from apanet_ros.transport import prefer_large_shared_memory
from tools.node_benchmark.relay import SIDES

WAYS = {"relay": "relayed", "node": "derained"}  # name of a process, also its namespace -> prefix of its outputs
MODULES = {"relay": "tools.node_benchmark.relay", "node": "tools.node_benchmark.identity"}
START_TIMEOUT_S, PAIR_TIMEOUT_S = 60.0, 5.0
WARM_UP_PAIRS = 10


class Camera:
    """Publishes pairs and measures the time until they return."""

    def __init__(self) -> None:
        self._node = rclpy.create_node("latency_benchmark")
        self._publishers = {
            (way, side): self._node.create_publisher(Image, f"{way}/{side}/image_rect", QoSProfile(depth=10))
            for way in WAYS
            for side in SIDES
        }
        self._back: set[tuple[str, str]] = set()  # way and side of each image of the pair that has returned
        self._arrived = threading.Condition()
        self._stamp = 0
        for way, prefix in WAYS.items():
            for side in SIDES:
                topic = f"{way}/{prefix}/{side}/image_rect"
                self._node.create_subscription(
                    Image, topic, partial(self._on_image, way, side), QoSProfile(depth=10), raw=True
                )
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._spinner = threading.Thread(target=self._executor.spin, daemon=True)
        self._spinner.start()

    def wait_for_others(self) -> None:
        """Wait until relay and node have subscribed; raise TimeoutError after `START_TIMEOUT_S`."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while not all(publisher.get_subscription_count() for publisher in self._publishers.values()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the relay and the node did not subscribe within {START_TIMEOUT_S:.0f} s")
            time.sleep(0.05)
        time.sleep(1)  # their publishers must find this process as well

    def pair(self, width: int, height: int) -> list[Image]:
        """Return two images of noise, with the given size in px."""
        messages = []
        for seed in range(2):
            message = Image(height=height, width=width, encoding="rgb8", step=3 * width)
            pixels = np.random.default_rng(seed).integers(0, 256, height * width * 3, dtype=np.uint8)
            message.data = array("B", pixels.tobytes())
            messages.append(message)
        return messages

    def time_pair(self, way: str, messages: list[Image]) -> float:
        """Send a pair and measure the time until it returns.

        Args:
            way: a key of `WAYS`.
            messages: left and right image.

        Returns:
            Time until both images have returned, in ms.

        Raises:
            TimeoutError: they did not return within `PAIR_TIMEOUT_S`.
        """
        self._stamp += 1
        self._back.clear()
        start = time.perf_counter()
        for side, message in zip(SIDES, messages):
            message.header.stamp.sec = self._stamp
            self._publishers[way, side].publish(message)
        with self._arrived:
            if not self._arrived.wait_for(lambda: self._back == {(way, side) for side in SIDES}, PAIR_TIMEOUT_S):
                raise TimeoutError(f"a pair did not come back from the {way} within {PAIR_TIMEOUT_S:.0f} s")
        return 1000 * (time.perf_counter() - start)

    def close(self) -> None:
        """End the receiving thread."""
        self._executor.shutdown()
        self._spinner.join()
        self._node.destroy_node()

    def _on_image(self, way: str, side: str, serialized: bytes) -> None:
        with self._arrived:
            if read_image(serialized).header.stamp.sec == self._stamp:
                self._back.add((way, side))
                self._arrived.notify()


@contextmanager
def running(way: str) -> Iterator[None]:
    """Run the relay or the node as a process."""
    arguments = ["--ros-args", "-r", f"__ns:=/{way}", "--log-level", "error"]
    process = subprocess.Popen([sys.executable, "-m", MODULES[way], *arguments])
    try:
        yield
    finally:
        process.kill()  # rclpy sometimes hangs in its shutdown
        process.wait()


def measure(sizes: list[tuple[int, int]], pairs: int) -> list[dict[str, str]]:
    """Return the rows of the table, one for each size and way.

    Args:
        sizes: width and height in px.
        pairs: pairs for each size and way.
    """
    camera = Camera()
    rows = []
    try:
        camera.wait_for_others()
        for width, height in sizes:
            messages = camera.pair(width, height)
            times: dict[str, list[float]] = {way: [] for way in WAYS}
            for number in progress_bar(range(WARM_UP_PAIRS + pairs), desc=f"{width}x{height}", unit="pair"):
                for way in WAYS:  # in turn, so that other work on the machine affects both
                    took = camera.time_pair(way, messages)
                    if number >= WARM_UP_PAIRS:
                        times[way].append(took)
            reference = statistics.median(times["relay"])
            for way, values in times.items():
                middle = statistics.median(values)
                rows.append(
                    {
                        "size": f"{width}x{height}",
                        "way": way,
                        "median ms": f"{middle:.1f}",
                        "p95 ms": f"{np.percentile(values, 95):.1f}",
                        "x relay": f"{middle / reference:.2f}",
                    }
                )
    finally:
        camera.close()
    return rows


def main(argv: list[str] | None = None) -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tools.node_benchmark", description=__doc__)
    default = [(1280, 720), (1920, 1080)]
    parser.add_argument("--sizes", type=size, nargs="+", default=default, metavar="WIDTHxHEIGHT", help="in px")
    parser.add_argument("--pairs", type=int, default=100, help="per size and way")
    options = parser.parse_args(argv)
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    prefer_large_shared_memory()
    rclpy.init(args=[])
    try:
        with running("relay"), running("node"):
            rows = measure(options.sizes, options.pairs)
    finally:
        rclpy.try_shutdown()
    for row in [{name: name for name in rows[0]}, *rows]:
        print("  ".join(f"{value:>10}" for value in row.values()))
    return 0


def size(text: str) -> tuple[int, int]:
    """Return width and height from text such as 1280x720."""
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"expected WIDTHxHEIGHT, such as 1280x720: got {text!r}")
    return int(match[1]), int(match[2])


if __name__ == "__main__":
    sys.exit(main())
