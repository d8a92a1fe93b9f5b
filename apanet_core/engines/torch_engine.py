"""The network in PyTorch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from apanet_core.engines.cuda_graphs import CapturedSizes, CUDAGraph, Result
from apanet_core.engines.engine import PRECISIONS, EngineOptions, Pair, check_finite
from apanet_core.model.compiling import check_compiler
from apanet_core.model.network import APANet
from apanet_core.model.uint8 import Uint8Derainer


class TorchEngine:
    """PyTorch, on the CPU or a CUDA device; half precision by default on CUDA.

    On CUDA the network runs as a CUDA graph, captured for each image size.

    Args:
        network: in eval mode, float32; moved to the device.
        options: `compiled` turns on torch.compile, with CUDA graphs on CUDA; it compiles for each new size.
    """

    name = "torch"

    def __init__(self, network: APANet, options: EngineOptions) -> None:
        device = options.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.memory = torch.device(device)
        if self.memory.type == "cuda" and not torch.cuda.is_available():
            raise ValueError(f"device {device!r} needs a CUDA build of torch and a GPU, and there is none: use 'cpu'")
        on_gpu = self.memory.type == "cuda"
        if on_gpu and (self.memory.index or 0) >= torch.cuda.device_count():
            raise ValueError(f"device {device!r} does not exist: this machine has {torch.cuda.device_count()}")
        self.device = torch.cuda.get_device_name(self.memory) if on_gpu else "CPU"
        self.precision = ("float16" if on_gpu else "float32") if options.precision == "auto" else options.precision
        dtype = PRECISIONS[self.precision]
        self.network: APANet | None = network
        network.to(self.memory, dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._derainer = Uint8Derainer(network)
        self._forward: Any = self._derainer
        self.compiled = options.compiled
        self._captured: CapturedSizes | None = None
        if options.compiled:
            check_compiler()
            mode = "reduce-overhead" if on_gpu else "default"
            self._forward = torch.compile(self._forward, dynamic=False, mode=mode)
        elif on_gpu:
            self._captured = CapturedSizes(lambda size: CUDAGraph(self._forward, size, self.memory), self._eager)

    @torch.inference_mode()
    def __call__(self, left: np.ndarray, right: np.ndarray) -> Pair:
        return self._run(left, right, self._captured or self._eager)

    @torch.inference_mode()
    def eager(self, left: np.ndarray, right: np.ndarray) -> Pair:
        """Derain as a call does, but let hooks on the network's modules run."""
        return self._run(left, right, self._eager)

    @torch.inference_mode()
    def derain_tensors(self, left: torch.Tensor, right: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Derain B pairs on the network's device, on the current stream; nothing waits for the device.

        Args:
            left: (B, 3, H, W) RGB, uint8 or float in [0, 1].
            right: of the shape and dtype of `left`.

        Returns:
            The derained pairs, with the shape and dtype of the input.

        Raises:
            MemoryError: there is not enough memory.
        """
        with _memory_error(left.shape[-2:]):
            clean_left, clean_right, _ = self._derainer.derain_batch(left, right)
        return clean_left, clean_right

    def prepare(self, height: int, width: int) -> None:
        if self._captured is None and not self.compiled:
            return  # an eager network needs no preparation
        blank = np.zeros((height, width, 3), np.uint8)
        self(blank, blank)

    def close(self) -> None:
        if self._captured is not None:
            self._captured.close()
        self._captured = self._forward = self._derainer = self.network = None  # type: ignore[assignment]
        if self.memory.type == "cuda":
            torch.cuda.empty_cache()

    def _run(self, left: np.ndarray, right: np.ndarray, run: Any) -> Pair:
        with _memory_error(left.shape[:2]):
            clean_left, clean_right, change = run(left, right)
        check_finite(change, self.precision)
        return clean_left, clean_right

    def _eager(self, left: np.ndarray, right: np.ndarray) -> Result:
        views = [np.require(view, requirements=["C", "W"]) for view in (left, right)]  # torch takes no read-only memory
        clean_left, clean_right, change = self._forward(*(torch.from_numpy(view).to(self.memory) for view in views))
        return clean_left.cpu().numpy(), clean_right.cpu().numpy(), float(change)


@contextmanager
def _memory_error(size: tuple[int, ...]) -> Iterator[None]:
    """Turn what torch raises for lack of memory into a MemoryError that says what helps."""
    try:
        yield
    except RuntimeError as error:  # torch.OutOfMemoryError is a RuntimeError; the CPU allocator raises a plain one
        if not (isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)):
            raise
        raise MemoryError(
            f"not enough memory for a pair of {size[1]}x{size[0]}: use tile (rows at a time), a smaller model, or "
            "precision float16 on a GPU"
        ) from error
