"""The interface of the engines, each of which runs the network on a pair of uint8 images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

Pair = tuple[np.ndarray, np.ndarray]
PRECISIONS = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class EngineOptions:
    """Options of an engine.

    Args:
        device: "auto", "cpu", "cuda", "cuda:1", ...
        precision: "auto" or a key of `PRECISIONS`.
        compiled: compile in the torch engine; the others always do.
    """

    device: str = "auto"
    precision: str = "auto"
    compiled: bool = False


def check_finite(change: float, precision: str) -> None:
    """Raise FloatingPointError where the mean change of a pair shows that the network computed no numbers.

    Args:
        change: mean change of the pair, from `Uint8Derainer`.
        precision: a key of `PRECISIONS`.
    """
    if not math.isfinite(change):
        raise FloatingPointError(
            f"expected finite values from the network, got {change}: check the weights"
            + ("" if precision == "float32" else f", or use precision float32 instead of {precision}")
        )


class Engine(Protocol):
    """One way to run the network.

    Attributes:
        name: key of the engine, for instance "openvino".
        device: where it runs, in words for people.
        precision: a key of `PRECISIONS`.
        memory: the device whose memory it takes.
    """

    name: str
    device: str
    precision: str
    memory: torch.device

    def __call__(self, left: np.ndarray, right: np.ndarray) -> Pair:
        """Derain one pair.

        Args:
            left: (H, W, 3) uint8 RGB.
            right: (H, W, 3) uint8 RGB, of the same size.

        Returns:
            Derained left and right, of the same shape.

        Raises:
            FloatingPointError: the result is not finite.
            MemoryError: there is not enough memory.
        """

    def prepare(self, height: int, width: int) -> None:
        """Do what has to be done once for a size, so that the next call of that size is fast."""

    def close(self) -> None:
        """Free the memory; the engine cannot be called again."""
