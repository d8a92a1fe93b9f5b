"""The network in PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from apanet_core.engines.engine import PRECISIONS, EngineOptions, Pair
from apanet_core.model.compiling import check_compiler
from apanet_core.model.network import APANet
from apanet_core.model.uint8 import Uint8Derainer


class TorchEngine:
    """PyTorch, on the CPU or a CUDA device; half precision by default on CUDA.

    Args:
        network: in eval mode, float32; moved to the device.
        options: `compiled` turns on torch.compile, with CUDA graphs on CUDA; every new size is compiled anew.
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
        self._run: Any = Uint8Derainer(network)
        self.compiled = options.compiled
        if options.compiled:
            check_compiler()
            self._run = torch.compile(self._run, dynamic=False, mode="reduce-overhead" if on_gpu else "default")

    @torch.inference_mode()
    def __call__(self, left: np.ndarray, right: np.ndarray) -> Pair:
        views = [np.require(view, requirements=["C", "W"]) for view in (left, right)]  # torch takes no read-only memory
        on_device = [torch.from_numpy(view).to(self.memory, non_blocking=True) for view in views]
        derained_left, derained_right = self._run(*on_device)
        return derained_left.cpu().numpy(), derained_right.cpu().numpy()

    def prepare(self, height: int, width: int) -> None:
        blank = np.zeros((height, width, 3), np.uint8)
        self(blank, blank)

    def close(self) -> None:
        self._run = self.network = None
        if self.memory.type == "cuda":
            torch.cuda.empty_cache()
