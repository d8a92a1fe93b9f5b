"""The moving average of the weights, which is validated and saved."""

from __future__ import annotations

import torch


def update_average(averaged: torch.nn.Module, current: torch.nn.Module, decay: float) -> None:
    """Move `averaged` towards `current`: average = decay * average + (1 - decay) * current."""
    with torch.no_grad():
        torch._foreach_lerp_(list(averaged.parameters()), list(current.parameters()), 1 - decay)
