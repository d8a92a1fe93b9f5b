"""When to run the network: the rain level, and the state machine that spares dry pairs."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from apanet_ros.parameters import NodeParameters

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

    def should_run(self, p: NodeParameters) -> bool:
        """Whether the next pair goes through the network."""
        if not p.bypass_when_dry:
            self.bypassing, self._dry_in_a_row = False, 0
            return True
        return not self.bypassing or self._clock() - self._measured_at >= p.recheck_s

    def update(self, level: float, p: NodeParameters) -> bool:
        """Take the rain level of a pair that went through the network.

        Args:
            level: of `rain_level`.
            p: in force.

        Returns:
            Whether that very pair should pass untouched: it was a re-check, and it is still dry.
        """
        self._measured_at = self._clock()
        if level > p.wet_threshold:
            self._dry_in_a_row, self.bypassing = 0, False
        elif level < p.dry_threshold:
            self._dry_in_a_row += 1
        elif not self.bypassing:
            self._dry_in_a_row = 0
        if p.bypass_when_dry and self._dry_in_a_row >= p.dry_pairs:
            self.bypassing = True
        return self.bypassing
