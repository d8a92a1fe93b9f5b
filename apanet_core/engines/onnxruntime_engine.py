"""The network in ONNX Runtime, and through it in TensorRT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from apanet_core.engines.engine import EngineOptions, Pair
from apanet_core.engines.export import onnx_model
from apanet_core.model.network import APANet

CACHE = Path("~/.cache/apanet")  # where TensorRT keeps the engines it builds, unless told otherwise


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
        self._session: Any = _session(onnx_model(network), [provider])

    def __call__(self, left: np.ndarray, right: np.ndarray) -> Pair:
        return _run(self._session, left, right)

    def prepare(self, height: int, width: int) -> None:
        blank = np.zeros((height, width, 3), np.uint8)
        self(blank, blank)

    def close(self) -> None:
        self._session = None


class TensorRTEngine:
    """TensorRT through ONNX Runtime: an engine per image size, built in minutes and kept in a cache on disk.

    Args:
        network: in eval mode, float32, on the CPU.
        options: a CUDA device; float32 by default, since TensorRT in half precision takes the sums of
            norms and attention in it as well; `cache_dir` keeps the engines.
    """

    name = "tensorrt"

    def __init__(self, network: APANet, options: EngineOptions) -> None:
        if options.device == "cpu":
            raise ValueError("the tensorrt engine needs a GPU: use device 'auto', 'cuda' or 'cuda:N', not 'cpu'")
        check_provider("TensorrtExecutionProvider", options.device)
        self.device, self.precision = "CUDA", "float32" if options.precision == "auto" else options.precision
        self.memory = torch.device("cuda", int(device_number(options.device)))
        self._providers = tensorrt_providers(options, self.precision)
        self._model = onnx_model(network)
        self._session: tuple[tuple[int, ...], Any] | None = None

    def __call__(self, left: np.ndarray, right: np.ndarray) -> Pair:
        if self._session is None or self._session[0] != left.shape[:2]:
            self.prepare(*left.shape[:2])
        assert self._session is not None
        return _run(self._session[1], left, right)

    def prepare(self, height: int, width: int) -> None:
        session = _session(self._model, self._providers, {"height": height, "width": width})
        blank = np.zeros((height, width, 3), np.uint8)
        _run(session, blank, blank)  # TensorRT builds its engine in the first run
        self._session = ((height, width), session)

    def close(self) -> None:
        self._session = None


def tensorrt_providers(options: EngineOptions, precision: str) -> list[tuple[str, dict[str, str]]]:
    """Providers in the order ONNX Runtime tries them: TensorRT, and CUDA for what TensorRT does not take.

    Args:
        options: device and cache directory.
        precision: float32, float16 or bfloat16.

    Returns:
        (name, options) pairs.
    """
    cache = (options.cache_dir or CACHE).expanduser()
    cache.mkdir(parents=True, exist_ok=True)
    device = {"device_id": device_number(options.device)}
    tensorrt = {
        "trt_fp16_enable": str(precision == "float16"),
        "trt_bf16_enable": str(precision == "bfloat16"),
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": str(cache),
        "trt_timing_cache_enable": "True",
        "trt_timing_cache_path": str(cache),
    }
    return [("TensorrtExecutionProvider", device | tensorrt), ("CUDAExecutionProvider", device)]


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


def _session(model: bytes, providers: list[Any], size: dict[str, int] | None = None) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    for name, value in (size or {}).items():
        options.add_free_dimension_override_by_name(name, value)
    return onnxruntime.InferenceSession(model, options, providers=providers)


def _run(session: Any, left: np.ndarray, right: np.ndarray) -> Pair:
    views = {"left": np.ascontiguousarray(left), "right": np.ascontiguousarray(right)}
    derained_left, derained_right = session.run(None, views)
    return derained_left, derained_right
