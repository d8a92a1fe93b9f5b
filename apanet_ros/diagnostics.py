"""What the node tells about itself on /diagnostics."""

from __future__ import annotations

import statistics
import threading
from collections import deque
from dataclasses import dataclass, field

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from apanet_ros.stereo_sync import PairingCounts


@dataclass
class NodeStatistics:
    """Counters of the data path; the worker and the receiving thread both write.

    Attributes:
        published: pairs published.
        replaced: pairs dropped because a newer one came before their turn.
        failed: pairs or messages that could not be processed.
        network_failed: those of them that the network failed on.
        bypassed: pairs that passed untouched because they were dry.
        rain_level: measured last.
        last_error: what went wrong last.
        latency_s: time from the arrival of a pair's second image to its publication, of the last 100 pairs.
    """

    published: int = 0
    replaced: int = 0
    failed: int = 0
    network_failed: int = 0
    bypassed: int = 0
    rain_level: float | None = None
    last_error: str = ""
    latency_s: deque[float] = field(default_factory=lambda: deque(maxlen=100))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add_published(self, latency_s: float, bypassed: bool = False, rain_level: float | None = None) -> None:
        """Count a published pair."""
        with self._lock:
            self.published += 1
            self.bypassed += bypassed
            self.rain_level = rain_level
            self.latency_s.append(latency_s)

    def add_replaced(self) -> None:
        """Count a pair that a newer one pushed out."""
        with self._lock:
            self.replaced += 1

    def add_failure(self, reason: str, of_network: bool = False) -> None:
        """Count a failure."""
        with self._lock:
            self.failed += 1
            self.network_failed += of_network
            self.last_error = reason

    def latency_ms(self) -> tuple[float, float] | None:
        """Median and 95th percentile of the recent latencies."""
        with self._lock:
            values = sorted(1000 * value for value in self.latency_s)
        return (statistics.median(values), values[int(0.95 * (len(values) - 1))]) if values else None


def diagnostic_array(
    name: str,
    now: object,
    counts: PairingCounts,
    stats: NodeStatistics,
    engine: str,
    state: str,
    warning: str,
    is_error: bool = False,
) -> DiagnosticArray:
    """Build the message.

    Args:
        name: of the node.
        now: builtin_interfaces/Time on the node's clock.
        counts: what the synchroniser saw.
        stats: what the data path did.
        engine: engine, device and precision in words.
        state: whether the node derains, passes through or sleeps.
        warning: what is wrong at the moment; empty when nothing is.
        is_error: whether that means that no pair is cleaned.

    Returns:
        An array of one status.
    """
    level = DiagnosticStatus.WARN if warning else DiagnosticStatus.OK
    if warning and is_error:
        level = DiagnosticStatus.ERROR
    status = DiagnosticStatus(name=f"{name}: derain", hardware_id=engine, level=level, message=warning or state)
    latency = stats.latency_ms()
    values = {
        "left images": counts.received[0],
        "right images": counts.received[1],
        "pairs": counts.paired,
        "unpaired images": counts.unpaired,
        "late images": counts.late,
        "time jumps": counts.time_jumps,
        "pairs published": stats.published,
        "pairs dropped for newer ones": stats.replaced,
        "pairs bypassed as dry": stats.bypassed,
        "rain level": "" if stats.rain_level is None else f"{stats.rain_level:.2f}",
        "failures": stats.failed,
        "failures of the network": stats.network_failed,
        "last error": stats.last_error,
        "latency median ms": f"{latency[0]:.1f}" if latency else "",
        "latency p95 ms": f"{latency[1]:.1f}" if latency else "",
        "engine": engine,
    }
    status.values = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    array = DiagnosticArray(status=[status])
    array.header.stamp = now
    return array
