"""Test that the memory of the node's process does not grow under varying load and broken messages.

By default it runs for 40 s with a fast network; APANET_SOAK_S sets the seconds with the real network.
docs/reliability.md has the results of half an hour.
"""

import os
import time
from pathlib import Path

import numpy as np
import rclpy
from messages import SIDES, image_message, stamp_of
from node_rig import FAULTY_NETWORK, Rig
from sensor_msgs.msg import Image

LONG = "APANET_SOAK_S" in os.environ
SOAK_S = float(os.environ.get("APANET_SOAK_S", "40"))
GROWTH_MB = 16  # growth after the first third that indicates a leak; a single 320x240 pair has half a megabyte
RATE_HZ = 20
SIZES = ((240, 320), (120, 160), (240, 424))


class Visitor:
    """A subscriber with a separate DDS participant, like one in another process."""

    def __init__(self):
        self._context = rclpy.Context()
        rclpy.init(args=[], context=self._context)
        self._node = rclpy.create_node("visitor", context=self._context)
        self._node.create_subscription(Image, "derained/left/image_rect", lambda message: None, 5)

    def close(self):
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)


def rss_mb(process_id):
    lines = Path(f"/proc/{process_id}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def growth_mb(samples):
    """Return the Theil-Sen slope, the median over all pairs of samples, times the duration."""
    times, values = np.array(samples).T
    i, j = np.triu_indices(len(times), 1)
    return float(np.median((values[j] - values[i]) / (times[j] - times[i])) * (times[-1] - times[0]))


def send_broken(rig, number):
    change = [{"encoding": "yuv999"}, {"step": 3}, {"height": 480}, {"width": 2**32 - 1}][number % 4]
    message = image_message(next(rig.stamps), SIDES[number % 2])
    for field, value in change.items():
        setattr(message, field, value)
    rig.image_pub[SIDES[number % 2]].publish(message)


def test_memory_does_not_grow(start, tmp_path):
    (tmp_path / "orders").write_text("fine")
    node = start() if LONG else start(program=(FAULTY_NETWORK, str(tmp_path / "orders")))
    rig, visitor = Rig(), None
    rig.wait_until_heard()
    began, samples, sent, answered = time.monotonic(), [], 0, 0
    while (now := time.monotonic() - began) < SOAK_S:
        rig.send(size=SIZES[int(now / 15) % len(SIZES)])
        sent += 1
        second, tick = divmod(sent, RATE_HZ)
        if tick == 0:
            answered += len(rig.images["left"])
            rig.forget()
            samples.append((now, rss_mb(node.process.pid)))
            send_broken(rig, second)
            if second % 20 == 0:
                rig.enable(second % 40 != 0)
            if second % 10 == 3:
                visitor = Visitor()
            if second % 10 == 8 and visitor:
                visitor.close()
                visitor = None
            if second % 20 == 13:
                rig.stop_listening()
            if second % 20 == 17:  # after the node has slept
                rig.listen()
        time.sleep(max(0.0, began + sent / RATE_HZ - time.monotonic()))
    if visitor:
        visitor.close()
    rig.stop_listening()
    rig.listen()
    rig.wait_until_heard()
    assert rig.enable(True).success
    last = rig.send()
    assert stamp_of(rig.wait_for_pair(last)[0]) == last
    rig.close()
    code, _ = node.end()
    assert code == 0, node.text()
    assert "Traceback" not in node.text()
    settled = samples[len(samples) // 3 :]
    values = [value for _, value in settled]
    print(f"\n{SOAK_S:.0f} s, {sent} pairs sent, {answered} answered; RSS MB by tenths of the time:")
    print(*(f"{np.median(part):.1f}" for part in np.array_split([value for _, value in samples], 10)))
    print(f"after a third of it: {min(values):.1f} to {max(values):.1f}, growth {growth_mb(settled):+.2f}")
    assert growth_mb(settled) < GROWTH_MB
