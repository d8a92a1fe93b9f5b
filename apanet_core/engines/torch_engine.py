"""The network in PyTorch."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import numpy as np
import torch

from apanet_core.engines.cuda_graphs import CapturedSizes, CUDAGraph, Result, free_unused_memory
from apanet_core.engines.engine import LARGEST_CHANGE, PRECISIONS, EngineOptions, Pair, check_change, memory_errors
from apanet_core.images.channel_order import contiguous
from apanet_core.model.compiling import check_compiler
from apanet_core.model.network import APANet
from apanet_core.model.uint8 import Uint8Derainer


class TorchEngine:
    """PyTorch, on the CPU or a CUDA device; half precision by default on CUDA.

    On CUDA the network runs as a CUDA graph, captured for each image size.

    Args:
        network: in eval mode, float32; moved to the device.
        options: `compiled` turns on torch.compile, which compiles for each new size.
    """

    name = "torch"

    def __init__(self, network: APANet, options: EngineOptions) -> None:
        device = options.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.memory = torch.device(device)
        on_gpu = self.memory.type == "cuda"
        if on_gpu and not torch.cuda.is_available():
            raise ValueError(f"device {device!r} needs a CUDA build of torch and a GPU, and there is none: use 'cpu'")
        if on_gpu and self.memory.index is None:  # "cuda" alone would follow the current device of each thread
            self.memory = torch.device("cuda", torch.cuda.current_device())
        if on_gpu and self.memory.index >= torch.cuda.device_count():
            raise ValueError(f"device {device!r} does not exist: this machine has {torch.cuda.device_count()}")
        self.device = torch.cuda.get_device_name(self.memory) if on_gpu else "CPU"
        self.precision = ("float16" if on_gpu else "float32") if options.precision == "auto" else options.precision
        dtype = PRECISIONS[self.precision]
        self.network: APANet | None = network
        with memory_errors("the model", "a smaller model"):
            network.to(self.memory, dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._derainer = Uint8Derainer(network)
        self._forward: Any = self._derainer
        self.compiled = options.compiled
        if options.compiled:
            check_compiler()
            self._forward = torch.compile(self._forward, dynamic=False)
        self._eager: Any = partial(_run_eagerly, self._forward, self.memory)
        self._captured: CapturedSizes | None = None
        if on_gpu:
            # without a reference to this engine, so that one that nobody holds frees the card at once
            self._captured = CapturedSizes(partial(CUDAGraph, self._forward, device=self.memory), self._eager)

    @torch.inference_mode()
    def __call__(self, left: np.ndarray, right: np.ndarray) -> Pair:
        return self._run(left, right, self._captured or self._eager)

    @torch.inference_mode()
    def eager(self, left: np.ndarray, right: np.ndarray) -> Pair:
        """Derain as a call does, but let hooks on the network's modules run."""
        return self._run(left, right, self._eager)

    @torch.no_grad()  # not inference_mode: the caller may go on with the results in place, or train on them
    def derain_tensors(self, left: torch.Tensor, right: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Derain B pairs on the network's device, on the current stream; nothing waits for the device.

        Args:
            left: (B, 3, H, W) RGB, uint8 or float in [0, 1].
            right: of the shape and dtype of `left`.

        Returns:
            The derained pairs, with the shape and dtype of the input; a pair for which the network computed no
            numbers comes back unchanged, because an error would have to wait for the device.

        Raises:
            MemoryError: there is not enough memory.
        """
        what = f"{len(left)} pairs of {left.shape[3]}x{left.shape[2]}"
        with memory_errors(what, "smaller batches, a smaller model"), self._own_precision():
            clean_left, clean_right, change = self._derainer.derain_batch(left, right)
            is_plausible = (change <= LARGEST_CHANGE)[:, None, None, None]
            return torch.where(is_plausible, clean_left, left), torch.where(is_plausible, clean_right, right)

    def prepare(self, height: int, width: int) -> None:
        if self._captured is None and not self.compiled:
            return  # an eager network needs no preparation
        blank = np.zeros((height, width, 3), np.uint8)
        self(blank, blank)

    def close(self) -> None:
        if self._captured is not None:
            self._captured.close()
        self._captured = self._forward = self._eager = self._derainer = self.network = None  # type: ignore[assignment]
        if self.memory.type == "cuda":
            free_unused_memory()

    def _run(self, left: np.ndarray, right: np.ndarray, run: Any) -> Pair:
        with memory_errors(f"a pair of {left.shape[1]}x{left.shape[0]}"), self._own_precision():
            clean_left, clean_right, change = run(left, right)
        check_change(change, self.precision)
        return clean_left, clean_right

    def _own_precision(self) -> AbstractContextManager[Any]:
        """Keep the caller's autocast out: its copies of the weights would be gone when a graph reads them."""
        return torch.autocast(self.memory.type, enabled=False)


def _run_eagerly(forward: Any, device: torch.device, left: np.ndarray, right: np.ndarray) -> Result:
    # torch takes no read-only memory
    views = [np.require(contiguous(view), requirements="W") for view in (left, right)]
    clean_left, clean_right, change = forward(*(torch.from_numpy(view).to(device) for view in views))
    return clean_left.cpu().numpy(), clean_right.cpu().numpy(), float(change)
