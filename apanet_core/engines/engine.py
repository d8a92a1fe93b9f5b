"""The interface of the engines, each of which runs the network on a pair of uint8 images."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

Pair = tuple[np.ndarray, np.ndarray]
CLOSED = "the derainer is closed: make a new one"
LARGEST_CHANGE = 1.0  # mean absolute change of a pair, for images in [0, 1]
# in the errors of torch's CPU allocator, of CUDA and its libraries, of OpenVINO
NO_MEMORY = (
    "can't allocate memory",
    "out of memory",
    "ALLOC_FAILED",
    "ALLOCATION_FAILED",
    "bad_alloc",
    "Failed to allocate",
)
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


def check_change(change: float, precision: str) -> None:
    """Raise FloatingPointError where the mean change of a pair shows that the network computed no image.

    Args:
        change: mean absolute change of the pair, from `Uint8Derainer`.
        precision: a key of `PRECISIONS`.
    """
    if not change <= LARGEST_CHANGE:  # also for NaN
        raise FloatingPointError(
            f"expected an image from the network, got a mean change of {change:.3g} where white is 1: check the weights"
            + ("" if precision == "float32" else f", or use precision float32 instead of {precision}")
        )


def is_out_of_memory(error: BaseException | None) -> bool:
    """Return whether an error, or the one during which it was raised, stands for a lack of memory."""
    while error is not None:
        if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(text in str(error) for text in NO_MEMORY):
            return True
        error = error.__context__
    return False


@contextmanager
def memory_errors(what: str, use: str = "tile (rows at a time), a smaller model") -> Iterator[None]:
    """Turn what the libraries raise for lack of memory for `what` into a MemoryError that says what to `use`."""
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise MemoryError(f"not enough memory for {what}: use {use}, or precision float16 on a GPU") from error


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
            FloatingPointError: the network computed no image.
            MemoryError: there is not enough memory.
        """

    def prepare(self, height: int, width: int) -> None:
        """Do what has to be done once for a size, so that the next call of that size is fast."""

    def close(self) -> None:
        """Free the memory; the engine cannot be called again."""
