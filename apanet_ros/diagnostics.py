"""The diagnostic status that the node publishes on /diagnostics."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from apanet_ros.node_statistics import NodeStatistics
from apanet_ros.qos_monitor import NO_PUBLISHER_EVENTS, QosMonitor
from apanet_ros.stereo_sync import PairingCounts


class Rates:
    """Turns counts into rates per second on the node's clock, from one report to the next."""

    def __init__(self) -> None:
        self._before: tuple[int, dict[str, int]] | None = None

    def __call__(self, now_ns: int, counts: dict[str, int]) -> dict[str, float]:
        """Return the rates since the last call; empty at the first call and if the clock stopped or went back."""
        before, self._before = self._before, (now_ns, counts)
        if before is None or now_ns <= before[0]:
            return {}
        return {name: (count - before[1][name]) / (now_ns - before[0]) * 1e9 for name, count in counts.items()}


def memory_mib() -> dict[str, float]:
    """Return the memory of the process in MiB: main memory if /proc exists, GPU memory if torch uses a GPU."""
    found = {}
    try:
        with open("/proc/self/statm") as file:
            found["memory MiB"] = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except OSError:
        pass
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        devices = range(torch.cuda.device_count())
        found["GPU memory MiB"] = sum(torch.cuda.memory_reserved(device) for device in devices) / 2**20
    return found


class DiagnosticsPublisher:
    """Publishes the node's status, and logs endpoints whose QoS or type does not match the node's.

    Args:
        node: the rclpy node.
        counts: counters of the synchroniser.
        stats: counters of published, dropped and failed pairs.
        model: values of the keys model, engine, device and precision.
    """

    def __init__(self, node: Any, counts: PairingCounts, stats: NodeStatistics, model: dict[str, str]) -> None:
        self._node, self._counts, self._stats, self._model = node, counts, stats, model
        self._publisher = node.create_publisher(
            DiagnosticArray, "/diagnostics", 10, event_callbacks=NO_PUBLISHER_EVENTS
        )
        self._rates = Rates()
        self._qos = QosMonitor(node)
        self._failed_before = stats.failed, stats.network_failed

    def publish(
        self,
        state: str,
        problem: str,
        hangs_s: float | None,
        subscriptions: Iterable[Any],
        publishers: Iterable[Any],
    ) -> None:
        """Publish one status message.

        Args:
            state: what the node does: derain, pass pairs through or sleep.
            problem: why no pair arrives, or which CameraInfo is missing; empty if there is no problem.
            hangs_s: seconds that an inference past its time limit has taken; None if no inference is overdue.
            subscriptions: rclpy subscriptions of the node.
            publishers: rclpy publishers of the node.
        """
        failures = self._stats.failed, self._stats.network_failed
        failed, network_failed = (now > before for now, before in zip(failures, self._failed_before))
        self._failed_before = failures
        mismatches = self._qos.check(subscriptions, publishers)
        level, message = DiagnosticStatus.OK, state
        if hangs_s is not None:
            level = DiagnosticStatus.ERROR
            message = f"inference has taken {hangs_s:.0f} s so far: restart the node if it persists"
        elif failed:
            level = DiagnosticStatus.ERROR if network_failed else DiagnosticStatus.WARN
            message = self._stats.last_error
        elif mismatches or problem:
            level, message = DiagnosticStatus.WARN, "; ".join(mismatches) or problem
        name, now = self._node.get_fully_qualified_name(), self._node.get_clock().now()
        status = DiagnosticStatus(
            name=f"{name}: derain", hardware_id=self._model["device"], level=level, message=message
        )
        values = self._values(now.nanoseconds)
        status.values = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
        array = DiagnosticArray(status=[status])
        array.header.stamp = now.to_msg()
        self._publisher.publish(array)

    def close(self) -> None:
        """Destroy the publisher."""
        self._node.destroy_publisher(self._publisher)

    def _values(self, now_ns: int) -> dict[str, object]:
        counts, stats, latency = self._counts, self._stats, self._stats.latency_ms()
        images = {"left images": counts.received[0], "right images": counts.received[1]}
        published = {"pairs published": stats.published}
        rates = self._rates(now_ns, {**images, **published})
        return {
            **images,
            "left images lost": counts.lost[0],
            "right images lost": counts.lost[1],
            "pairs": counts.paired,
            "unpaired images": counts.unpaired,
            "late images": counts.late,
            "time jumps": counts.time_jumps,
            **published,
            "pairs dropped for newer ones": stats.dropped,
            "pairs bypassed as dry": stats.bypassed,
            "rain level": "" if stats.rain_level is None else f"{stats.rain_level:.2f}",
            "failures": stats.failed,
            "failures of the network": stats.network_failed,
            "last error": stats.last_error,
            "latency median ms": f"{latency[0]:.1f}" if latency else "",
            "latency p95 ms": f"{latency[1]:.1f}" if latency else "",
            **{f"{name} per s": f"{rates[name]:.1f}" if name in rates else "" for name in (*images, *published)},
            **{name: f"{value:.0f}" for name, value in memory_mib().items()},
            **self._model,
        }
