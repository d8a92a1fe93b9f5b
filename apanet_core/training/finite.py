"""Stop a run whose loss or gradient is not finite."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import NamedTuple

import torch

from apanet_core.training.objectives import Batch

CHECK_EVERY = 10  # steps; a check waits for the device


class _Step(NamedTuple):
    number: int
    loss: torch.Tensor
    norm: torch.Tensor
    batches: list[Batch]


class FiniteCheck:
    """A check of loss and gradient norm of several steps at once, which keeps their batches until then.

    Args:
        out: folder in which the batch of the failed step is saved.
        any_norm: accept norms that are not finite, for a loss scaler that skips such steps.
    """

    def __init__(self, out: Path, any_norm: bool) -> None:
        self._out, self._any_norm = out, any_norm
        self._steps: list[_Step] = []

    def add(self, number: int, loss: torch.Tensor, norm: torch.Tensor, batches: list[Batch]) -> None:
        """Store a step; check all stored ones when there are `CHECK_EVERY`."""
        self._steps.append(_Step(number, loss, norm, batches))
        if len(self._steps) >= CHECK_EVERY:
            self.look()

    def look(self) -> None:
        """Check all stored steps.

        Raises:
            FloatingPointError: a loss or norm is not finite; the batch of the first such step is saved.
        """
        steps, self._steps = self._steps, []
        if not steps:
            return
        values = torch.stack([torch.stack([step.loss, step.norm]).float() for step in steps]).tolist()
        for step, (loss, norm) in zip(steps, values):
            if not math.isfinite(loss):
                self._stop(f"the loss is {loss}", step)
            if not (math.isfinite(norm) or self._any_norm):
                self._stop(f"the gradient is {norm}", step)

    def _stop(self, what: str, step: _Step) -> None:
        joined = {name: torch.cat([batch[name] for batch in step.batches]) for name in step.batches[0]}
        rank = os.environ.get("RANK")  # set by torchrun; each of its processes saves its own batch
        path = self._out / ("not_finite.pt" if rank is None else f"not_finite_{rank}.pt")
        torch.save(joined, path)
        raise FloatingPointError(f"{what} at step {step.number}; its batch is in {path}")
