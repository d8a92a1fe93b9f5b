"""Engines run the network on a pair of uint8 images; which one is fastest depends on the machine."""

from __future__ import annotations

import re
import threading
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from apanet_core.model.network import APANet
from apanet_core.runtime.export import Uint8Derainer, onnx_model

Pair = tuple[np.ndarray, np.ndarray]
SAME_SIZE_IN_A_ROW = 3
PRECISIONS = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


class Engine(Protocol):
    """One way to run the network.

    Attributes:
        name: as the user chose it, for instance "openvino".
        device: where it runs, in words for people.
        precision: a key of `PRECISIONS`.
    """

    name: str
    device: str
    precision: str

    def __call__(self, left: np.ndarray, right: np.ndarray) -> Pair:
        """Derain (H, W, 3) uint8 RGB views of one size."""

    def prepare(self, height: int, width: int) -> None:
        """Do what has to be done once for a size, so that the next call of that size is fast."""

    def close(self) -> None:
        """Free the memory; the engine cannot be called again."""


class TorchEngine:
    """PyTorch, on the CPU or a CUDA device; half precision by default on CUDA."""

    name = "torch"

    def __init__(self, network: APANet, device: str, precision: str) -> None:
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self._device = torch.device(device)
        if self._device.type == "cuda" and not torch.cuda.is_available():
            raise ValueError(f"device {device!r} needs a CUDA build of torch and a GPU, and there is none: use 'cpu'")
        on_gpu = self._device.type == "cuda"
        if on_gpu and (self._device.index or 0) >= torch.cuda.device_count():
            raise ValueError(f"device {device!r} does not exist: this machine has {torch.cuda.device_count()}")
        self.device = torch.cuda.get_device_name(self._device) if on_gpu else "CPU"
        self.precision = ("float16" if on_gpu else "float32") if precision == "auto" else precision
        dtype = PRECISIONS[self.precision]
        self._module: nn.Module | None = Uint8Derainer(network, dtype).to(self._device, dtype)
        if on_gpu:
            self._module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def __call__(self, left: np.ndarray, right: np.ndarray) -> Pair:
        assert self._module is not None, "the engine is closed"
        views = [torch.from_numpy(np.ascontiguousarray(v)).to(self._device, non_blocking=True) for v in (left, right)]
        derained_left, derained_right = self._module(*views)
        return derained_left.cpu().numpy(), derained_right.cpu().numpy()

    def prepare(self, height: int, width: int) -> None:
        blank = np.zeros((height, width, 3), np.uint8)
        self(blank, blank)

    def close(self) -> None:
        self._module = None
        if self._device.type == "cuda":
            torch.cuda.empty_cache()


class OpenVINOEngine:
    """OpenVINO on the CPU, the fastest there for small networks.

    A model of any size is ready from the start; a model for the very size of the images is a fifth faster, takes about
    a second to compile, and is compiled in the background when a size keeps coming, so that no frame waits for it.
    """

    name = "openvino"

    def __init__(self, network: APANet, device: str, precision: str) -> None:
        import openvino

        if device not in ("auto", "cpu"):
            raise ValueError(f"the openvino engine runs on the CPU: use device 'auto' or 'cpu', not {device!r}")
        if precision not in ("auto", "float32"):
            raise ValueError(f"the openvino engine computes in float32: use precision 'auto', not {precision!r}")
        self.device, self.precision = "CPU", "float32"
        self._core = openvino.Core()
        self._running = threading.Lock()  # a request runs one pair at a time
        self._compiling: threading.Thread | None = None
        self._in_a_row: tuple[tuple[int, ...], int] = ((), 0)
        self._expected: set[tuple[int, ...]] = set()  # sizes compiled for so far
        self._model: Any = self._core.read_model(onnx_model(network))
        self._any_size = self._compile(self._model)
        self._one_size: tuple[tuple[int, ...], Any] | None = None

    def __call__(self, left: np.ndarray, right: np.ndarray) -> Pair:
        with self._running:
            one_size = self._one_size
            if one_size is not None and one_size[0] == left.shape:
                request = one_size[1]
            else:
                request = self._any_size
                self._expect(left.shape)
            result = request.infer([np.ascontiguousarray(left), np.ascontiguousarray(right)], share_inputs=True)
            return result[0].copy(), result[1].copy()

    def _expect(self, shape: tuple[int, ...]) -> None:
        """Compile for `shape` in the background once it came several times in a row, and only once."""
        self._in_a_row = (shape, self._in_a_row[1] + 1) if self._in_a_row[0] == shape else (shape, 1)
        idle = self._compiling is None or not self._compiling.is_alive()
        if idle and self._in_a_row[1] >= SAME_SIZE_IN_A_ROW and shape not in self._expected:
            self._expected.add(shape)
            self._compiling = threading.Thread(target=self.prepare, args=shape[:2])
            self._compiling.start()

    def prepare(self, height: int, width: int) -> None:
        shape = (height, width, 3)
        model = self._model.clone()
        model.reshape({0: list(shape), 1: list(shape)})
        request = self._compile(model)
        self._expected.add(shape)
        self._one_size = (shape, request)

    def close(self) -> None:
        if self._compiling is not None:
            self._compiling.join()
        self._one_size = self._any_size = self._model = None

    def _compile(self, model: Any) -> Any:
        options = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        return self._core.compile_model(model, "CPU", options).create_infer_request()


class ONNXRuntimeEngine:
    """ONNX Runtime on the CPU, or on a CUDA device where its GPU build is installed."""

    name = "onnxruntime"

    def __init__(self, network: APANet, device: str, precision: str) -> None:
        import onnxruntime

        if precision not in ("auto", "float32"):
            raise ValueError(f"the onnxruntime engine computes in float32: use precision 'auto', not {precision!r}")
        cuda = "CUDAExecutionProvider"
        if device.startswith("cuda") and cuda not in onnxruntime.get_available_providers():
            raise ValueError(f"device {device!r} needs onnxruntime-gpu and a GPU, and there is none: use 'cpu'")
        provider: Any = "CPUExecutionProvider"
        if device.startswith("cuda"):
            provider = (cuda, {"device_id": device.partition(":")[2] or "0"})
        self.device, self.precision = ("CUDA" if device.startswith("cuda") else "CPU"), "float32"
        self._session: Any = onnxruntime.InferenceSession(onnx_model(network), providers=[provider])

    def __call__(self, left: np.ndarray, right: np.ndarray) -> Pair:
        views = {"left": np.ascontiguousarray(left), "right": np.ascontiguousarray(right)}
        derained_left, derained_right = self._session.run(None, views)
        return derained_left, derained_right

    def prepare(self, height: int, width: int) -> None:
        blank = np.zeros((height, width, 3), np.uint8)
        self(blank, blank)

    def close(self) -> None:
        self._session = None


ENGINES: dict[str, Any] = {"torch": TorchEngine, "openvino": OpenVINOEngine, "onnxruntime": ONNXRuntimeEngine}
PACKAGES = ("openvino", "onnxruntime")  # engines that are packages of the same name; both read ONNX


def make_engine(network: APANet, engine: str = "auto", device: str = "auto", precision: str = "auto") -> Engine:
    """Build an engine around `network`, which it then owns.

    Args:
        network: in eval mode, float32.
        engine: a key of `ENGINES`, or "auto": torch where the device is a CUDA one, else OpenVINO where installed.
        device: "auto", "cpu", "cuda", "cuda:1", ...
        precision: "auto" or a key of `PRECISIONS`.

    Returns:
        The engine.

    Raises:
        ValueError: an unknown name, or a combination that does not exist.
        ImportError: the engine's package is not installed.
    """
    if engine != "auto" and engine not in ENGINES:
        raise ValueError(f"unknown engine {engine!r}: choose one of auto, {', '.join(ENGINES)}")
    if precision != "auto" and precision not in PRECISIONS:
        raise ValueError(f"unknown precision {precision!r}: choose one of auto, {', '.join(PRECISIONS)}")
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise ValueError(f"unknown device {device!r}: choose one of auto, cpu, cuda, cuda:N")
    if engine == "auto":
        gpu = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
        half = precision not in ("auto", "float32")
        openvino = find_spec("openvino") is not None and find_spec("onnx") is not None
        engine = "openvino" if openvino and not gpu and not half else "torch"
    missing = [name for name in (engine, "onnx") if engine in PACKAGES and find_spec(name) is None]
    if missing:
        raise ImportError(
            f"the {engine} engine needs pip install {' '.join(missing)}; engine 'torch' needs nothing more"
        )
    made: Engine = ENGINES[engine](network, device, precision)
    return made
