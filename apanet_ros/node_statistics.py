"""Counters of published, dropped and failed pairs."""

from __future__ import annotations

import statistics
import threading
from collections import deque
from dataclasses import dataclass, field


@dataclass
class NodeStatistics:
    """Counters of published, dropped and failed pairs; the worker and the receiving thread both write them.

    Attributes:
        published: pairs published.
        dropped: pairs that a newer pair replaced before processing, or that waited at deactivation.
        failed: pairs or messages that could not be processed.
        network_failed: the part of `failed` caused by the network.
        bypassed: pairs that passed unchanged because they were dry.
        rain_level: rain level of the last published pair, in grey levels; None if not measured.
        last_error: text of the last failure; empty before the first.
        latency_s: seconds from the arrival of a pair's second image to its publication, for the last 100 pairs.
    """

    published: int = 0
    dropped: int = 0
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

    def add_dropped(self) -> None:
        """Count a pair that is dropped without processing."""
        with self._lock:
            self.dropped += 1

    def add_failure(self, reason: str, of_network: bool = False) -> None:
        """Count a failure."""
        with self._lock:
            self.failed += 1
            self.network_failed += of_network
            self.last_error = reason

    def latency_ms(self) -> tuple[float, float] | None:
        """Return median and 95th percentile of the recent latencies in ms; None before the first pair."""
        with self._lock:
            values = sorted(1000 * value for value in self.latency_s)
        return (statistics.median(values), values[int(0.95 * (len(values) - 1))]) if values else None
