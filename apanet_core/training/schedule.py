"""Progress of a run, by its steps or by the clock, and the learning rate."""

from __future__ import annotations

import math
from time import monotonic

from lightning_fabric import Fabric

from apanet_core.training.config import TrainConfig


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

    @property
    def spent_s(self) -> float:
        """Return the seconds of training so far, including those before a resume."""
        return monotonic() - self._began

    def progress(self, step: int) -> float:
        """Return the share of the run done before `step`; 1 or more at its end."""
        if self._config.minutes is None:
            return step / self._config.total_steps
        left = 60 * self._config.minutes - self.reserved_s
        progress = self.spent_s / left if left > 0 else 1.0
        return progress if self._fabric.world_size == 1 else float(self._fabric.broadcast(progress))


def learning_rate(step: int, config: TrainConfig, progress: float) -> float:
    """Return a linear warm-up over steps, then a half cosine to the final rate as `progress` goes from 0 to 1."""
    warmup = min(1.0, (step + 1) / max(config.warmup_steps, 1))
    cosine = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    return warmup * (config.final_learning_rate + (config.learning_rate - config.final_learning_rate) * cosine)
