"""Rain level of a pair, and the state machine that skips the network for dry pairs."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from apanet_core.images.channel_order import in_one_order
from apanet_ros.parameters import NodeParameters

SAMPLED_ROWS = slice(None, None, 4)


def rain_level(rainy: tuple[np.ndarray, np.ndarray], clean: tuple[np.ndarray, np.ndarray]) -> float:
    """Return how much the network changed a pair.

    Veil, noise and texture that the network mistakes for rain raise the level. Rain that it overlooks does not.

    Args:
        rainy: left and right input view, each (H, W, 3) uint8.
        clean: left and right output view of the network, each (H, W, 3) uint8.

    Returns:
        Mean absolute change on every fourth row, in grey levels (0..255).
    """
    sampled = [in_one_order(before[SAMPLED_ROWS], after[SAMPLED_ROWS]) for before, after in zip(rainy, clean)]
    return float(np.mean([cv2.norm(before, after, cv2.NORM_L1) / before.size for before, after in sampled]))


class DryBypass:
    """Decides for each pair whether the network runs; independent of ROS.

    Args:
        clock: returns monotonic time in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._dry_in_a_row = 0
        self._measured_at = 0.0
        self.bypassing = False

    def should_run(self, p: NodeParameters) -> bool:
        """Return whether the next pair goes through the network."""
        if not p.bypass_when_dry:
            self.bypassing, self._dry_in_a_row = False, 0
            return True
        return not self.bypassing or self._clock() - self._measured_at >= p.recheck_s

    def update(self, level: float, p: NodeParameters) -> bool:
        """Update the state with a pair that went through the network.

        Args:
            level: rain level of the pair in grey levels, from `rain_level`.
            p: current node parameters.

        Returns:
            Whether the bypass is on, so that this pair passes unchanged too.
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
