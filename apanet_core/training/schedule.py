"""Progress of a run, by its steps or by the clock, and the learning rate."""

from __future__ import annotations

import math
from time import monotonic

from lightning_fabric import Fabric

from apanet_core.training.config import TrainConfig

SAVE_EVERY_S = 300.0  # what a run on a slow machine can lose
LONGEST_WARMUP = 0.05  # of a run by the clock


class Schedule:
    """Progress in steps, or in `TrainConfig.minutes` of training that leave time for the last validation.

    Args:
        config: the run.
        fabric: the processes; all follow the clock of the first one.
        spent_s: seconds that the run took before it was resumed.
    """

    def __init__(self, config: TrainConfig, fabric: Fabric, spent_s: float) -> None:
        self._config, self._fabric = config, fabric
        self._began = monotonic() - spent_s
        self.reserved_s = 0.0  # time for the work after the last step
        self._saved_s = spent_s

    @property
    def spent_s(self) -> float:
        """Return the seconds of training so far, including those before a resume."""
        return monotonic() - self._began

    def is_due_to_save(self) -> bool:
        """Return whether `SAVE_EVERY_S` have passed since this last returned True; never for several processes."""
        due = self._fabric.world_size == 1 and self.spent_s - self._saved_s > SAVE_EVERY_S
        if due:
            self._saved_s = self.spent_s
        return due

    def words(self, progress: float) -> list[str]:
        """Say how much time a run by the clock has left at a `progress`."""
        if self._config.minutes is None:
            return []
        left_s = max(0.0, 60 * self._config.minutes - self.spent_s)
        return [f"{100 * progress:.0f} % done", f"{left_s / 60:.1f} min left"]

    def progress(self, step: int) -> float:
        """Return the share of the run done before `step`; 1 or more at its end."""
        if self._config.minutes is None:
            return step / self._config.total_steps
        left = 60 * self._config.minutes - self.reserved_s
        progress = self.spent_s / left if left > 0 else 1.0
        return progress if self._fabric.world_size == 1 else float(self._fabric.broadcast(progress))


def learning_rate(step: int, config: TrainConfig, progress: float) -> float:
    """Return a linear warm-up over steps, then a half cosine to the final rate as `progress` goes from 0 to 1.

    The warm-up of a run by the clock ends at `LONGEST_WARMUP` of its time at the latest.
    """
    warmup = (step + 1) / max(config.warmup_steps, 1)
    if config.minutes is not None:
        warmup = max(warmup, progress / LONGEST_WARMUP)
    warmup = min(1.0, warmup)
    cosine = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    return warmup * (config.final_learning_rate + (config.learning_rate - config.final_learning_rate) * cosine)
