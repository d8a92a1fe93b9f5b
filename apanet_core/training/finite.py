"""Stops a run whose loss or gradient is not finite."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import NamedTuple

import torch

from apanet_core.training.objectives import Batch

CHECK_EVERY = 10  # steps; every look waits for the device


class _Step(NamedTuple):
    number: int
    loss: torch.Tensor
    norm: torch.Tensor
    batches: list[Batch]


class FiniteCheck:
    """Looks at loss and gradient norm of several steps at once, and remembers their batches until then.

    Args:
        out: where the batch of a step that broke is saved.
        any_norm: let norms pass that are not finite, for a loss scaler that skips such steps.
    """

    def __init__(self, out: Path, any_norm: bool) -> None:
        self._out, self._any_norm = out, any_norm
        self._steps: list[_Step] = []

    def add(self, number: int, loss: torch.Tensor, norm: torch.Tensor, batches: list[Batch]) -> None:
        """Remember a step; every `CHECK_EVERY` of them are looked at."""
        self._steps.append(_Step(number, loss, norm, batches))
        if len(self._steps) >= CHECK_EVERY:
            self.look()

    def look(self) -> None:
        """Check all steps that were not looked at yet.

        Raises:
            FloatingPointError: the first that is not finite; its batch is saved.
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
        rank = os.environ.get("RANK")  # of a process that torchrun started; each saves its own batch
        path = self._out / ("not_finite.pt" if rank is None else f"not_finite_{rank}.pt")
        torch.save(joined, path)
        raise FloatingPointError(f"{what} at step {step.number}; its batch is in {path}")
