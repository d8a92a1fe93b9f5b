"""The network in ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from apanet_core.engines.engine import EngineOptions, Pair, check_finite
from apanet_core.engines.export import onnx_model
from apanet_core.model.network import APANet


class ONNXRuntimeEngine:
    """ONNX Runtime on the CPU, or on a CUDA device where its GPU build is installed.

    Args:
        network: in eval mode, float32, on the CPU.
        options: float32.
    """

    name = "onnxruntime"

    def __init__(self, network: APANet, options: EngineOptions) -> None:
        if options.precision not in ("auto", "float32"):
            raise ValueError(
                f"the {self.name} engine computes in float32: use precision 'auto', not {options.precision!r}"
            )
        on_gpu = options.device.startswith("cuda")
        provider: Any = "CPUExecutionProvider"
        if on_gpu:
            provider = ("CUDAExecutionProvider", {"device_id": device_number(options.device)})
        check_provider(provider[0] if on_gpu else provider, options.device)
        self.device, self.precision = ("CUDA" if on_gpu else "CPU"), "float32"
        self.memory = torch.device(options.device if on_gpu else "cpu")
        import onnxruntime

        self._session: Any = onnxruntime.InferenceSession(onnx_model(network), providers=[provider])

    def __call__(self, left: np.ndarray, right: np.ndarray) -> Pair:
        views = {"left": np.ascontiguousarray(left), "right": np.ascontiguousarray(right)}
        derained_left, derained_right, change = self._session.run(None, views)
        check_finite(float(change), self.precision)
        return derained_left, derained_right

    def prepare(self, height: int, width: int) -> None:
        blank = np.zeros((height, width, 3), np.uint8)
        self(blank, blank)

    def close(self) -> None:
        self._session = None


def device_number(device: str) -> str:
    """ "cuda:1" -> "1"; "auto" and "cuda" -> "0"."""
    return device.partition(":")[2] or "0"


def check_provider(provider: str, device: str) -> None:
    """Raise ValueError where this build of ONNX Runtime lacks `provider`."""
    import onnxruntime

    there = onnxruntime.get_available_providers()
    if provider not in there:
        raise ValueError(
            f"{provider} (device {device!r}) needs onnxruntime-gpu and a GPU: this build of ONNX Runtime lacks it "
            f"(it has {', '.join(there)}); use the engine 'torch' or device 'cpu'"
        )
