"""When to run the network: the rain level, and the state machine that spares dry pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

SAMPLED_ROWS = slice(None, None, 4)


def rain_level(rainy: tuple[np.ndarray, np.ndarray], clean: tuple[np.ndarray, np.ndarray]) -> float:
    """How much the network changed a pair.

    It is a property of the network's answer, not a rain gauge: veil, noise and texture that it mistakes for rain count
    too, and what it overlooks does not.

    Args:
        rainy: left and right, (H, W, 3) uint8.
        clean: likewise, derained.

    Returns:
        Mean absolute change of every fourth row, in grey levels of 0..255.
    """
    sampled = [(before[SAMPLED_ROWS], after[SAMPLED_ROWS]) for before, after in zip(rainy, clean)]
    return float(np.mean([cv2.norm(before, after, cv2.NORM_L1) / before.size for before, after in sampled]))


@dataclass(frozen=True)
class BypassSettings:
    """When pairs count as dry.

    Args:
        enabled: whether to bypass at all.
        dry_threshold: a rain level below this is dry.
        wet_threshold: a rain level above this is wet; in between the state stays.
        dry_pairs: so many dry pairs in a row begin the bypass.
        recheck_s: while bypassing, run the network again on the first pair after so long.
    """

    enabled: bool
    dry_threshold: float
    wet_threshold: float
    dry_pairs: int
    recheck_s: float

    def __post_init__(self) -> None:
        check_thresholds(self.dry_threshold, self.wet_threshold)


def check_thresholds(dry_threshold: float, wet_threshold: float) -> None:
    """Raise ValueError unless `dry_threshold` is at most `wet_threshold`, both in grey levels."""
    if dry_threshold > wet_threshold:
        raise ValueError(
            "dry_threshold must not be above wet_threshold, or the node would switch with every pair: got "
            f"{dry_threshold} and {wet_threshold}; to set one at a time, "
            "raise wet_threshold or lower dry_threshold first"
        )


class DryBypass:
    """Decides pair by pair whether the network runs; knows nothing of ROS.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._dry_in_a_row = 0
        self._measured_at = 0.0
        self.bypassing = False

    def should_run(self, settings: BypassSettings) -> bool:
        """Whether the next pair goes through the network."""
        if not settings.enabled:
            self.bypassing, self._dry_in_a_row = False, 0
            return True
        return not self.bypassing or self._clock() - self._measured_at >= settings.recheck_s

    def update(self, level: float, settings: BypassSettings) -> bool:
        """Take the rain level of a pair that went through the network.

        Args:
            level: of `rain_level`.
            settings: in force.

        Returns:
            Whether that very pair should pass untouched: it was a re-check, and it is still dry.
        """
        self._measured_at = self._clock()
        if level > settings.wet_threshold:
            self._dry_in_a_row, self.bypassing = 0, False
        elif level < settings.dry_threshold:
            self._dry_in_a_row += 1
        elif not self.bypassing:
            self._dry_in_a_row = 0
        if settings.enabled and self._dry_in_a_row >= settings.dry_pairs:
            self.bypassing = True
        return self.bypassing
