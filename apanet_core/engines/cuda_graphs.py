"""CUDA graphs of the network: one launch a pair instead of a thousand, for the image sizes that come most."""

from __future__ import annotations

import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch

SIZES_KEPT = 4
WARM_UP_CALLS = 2  # in which libraries choose their kernels and allocate
Result = tuple[np.ndarray, np.ndarray, float]  # left, right, mean change
# One capture at a time in a process: it changes the state of the generator and of the allocator (pytorch issue 137844).
_capturing = threading.Lock()


class CapturedPair(Protocol):
    """The network captured for one image size."""

    def __call__(self, left: np.ndarray, right: np.ndarray) -> Result:
        """Derain (H, W, 3) uint8 RGB views of that size; return new arrays."""

    def close(self) -> None:
        """Free the memory."""


class CapturedSizes:
    """Runs a captured network for each image size, and keeps those that were used last.

    Args:
        capture: captures the network for a (height, width).
        eager: runs the network without a capture, where a capture has failed.
        kept: sizes to keep.
    """

    def __init__(
        self,
        capture: Callable[[tuple[int, int]], CapturedPair],
        eager: Callable[[np.ndarray, np.ndarray], Result],
        kept: int = SIZES_KEPT,
    ) -> None:
        self._capture, self._eager, self._kept = capture, eager, kept
        self._sizes: OrderedDict[tuple[int, int], CapturedPair] = OrderedDict()
        self._failed = False
        self._running = threading.Lock()  # the buffers of a size hold one pair

    def __call__(self, left: np.ndarray, right: np.ndarray) -> Result:
        """Derain one pair, (H, W, 3) uint8 RGB each."""
        with self._running:
            captured = self._of_size((left.shape[0], left.shape[1]))
            return self._eager(left, right) if captured is None else captured(left, right)

    def close(self) -> None:
        """Free the memory of all sizes."""
        with self._running:
            while self._sizes:
                self._sizes.popitem()[1].close()

    def _of_size(self, size: tuple[int, int]) -> CapturedPair | None:
        """Return the capture of a size, made now if need be; None where a capture has failed."""
        if size in self._sizes:
            self._sizes.move_to_end(size)
            return self._sizes[size]
        if self._failed:
            return None
        while len(self._sizes) >= self._kept:
            self._sizes.popitem(last=False)[1].close()
        try:
            with _capturing:
                self._sizes[size] = self._capture(size)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            self._failed = True
            reason = str(error).partition("\n")[0]
            warnings.warn(f"CUDA graph capture failed, the network runs without it: {reason}", stacklevel=2)
            return None
        return self._sizes[size]


class CUDAGraph:
    """The network on a CUDA device, captured for one image size with its copies from and to pinned memory.

    Args:
        run: a `Uint8Derainer` on the device.
        size: (height, width) in px.
        device: CUDA device that holds the network.
    """

    def __init__(self, run: Callable[..., Any], size: tuple[int, int], device: torch.device) -> None:
        shape = (2, *size, 3)
        self._rainy, self._clean = (torch.empty(shape, dtype=torch.uint8, pin_memory=True) for _ in range(2))
        self._change = torch.empty((), dtype=torch.float32, pin_memory=True)
        self._device = device
        views = torch.empty(shape, dtype=torch.uint8, device=device)

        def step() -> None:
            views.copy_(self._rainy, non_blocking=True)
            left, right, change = run(views[0], views[1])
            for buffer, result in ((self._clean[0], left), (self._clean[1], right), (self._change, change)):
                buffer.copy_(result, non_blocking=True)

        with torch.cuda.device(device):
            self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            with torch.cuda.stream(self._stream):
                for _ in range(WARM_UP_CALLS):
                    step()
            self._stream.synchronize()
            self._graph = torch.cuda.CUDAGraph()
            # "thread_local": other threads may use the card during the capture
            with torch.cuda.graph(self._graph, stream=self._stream, capture_error_mode="thread_local"):
                step()

    @torch.inference_mode()
    def __call__(self, left: np.ndarray, right: np.ndarray) -> Result:
        """Derain (H, W, 3) uint8 RGB views of that size; return new arrays."""
        for buffer, view in zip(self._rainy.numpy(), (left, right)):
            np.copyto(buffer, view)
        with torch.cuda.device(self._device), torch.cuda.stream(self._stream):
            self._graph.replay()
        self._stream.synchronize()
        clean_left, clean_right = self._clean.numpy().copy()
        return clean_left, clean_right, float(self._change)

    def close(self) -> None:
        """Free the memory."""
        self._graph.reset()
        torch.cuda.empty_cache()
