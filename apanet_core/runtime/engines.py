"""Engines run the network on a pair of uint8 images; which one is fastest depends on the machine."""

from __future__ import annotations

import threading
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from apanet_core.model.network import APANet
from apanet_core.model.parallax_attention import ParallaxAttention, masked_attention

Pair = tuple[np.ndarray, np.ndarray]
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


class Uint8Derainer(nn.Module):
    """The network between two bytes: cast, scale, derain, clip and round happen where the network runs."""

    def __init__(self, network: APANet, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.network = network
        self.dtype = dtype

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """left, right: (H, W, 3) uint8 -> the same."""
        views = [x.permute(2, 0, 1)[None].to(self.dtype) / 255 for x in (left, right)]
        derained_left, derained_right = self.network(*views)
        return _to_bytes(derained_left), _to_bytes(derained_right)


def _to_bytes(image: torch.Tensor) -> torch.Tensor:
    return (image[0].clamp(0, 1) * 255).round().permute(1, 2, 0).to(torch.uint8)


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
    a second to compile, and is compiled in the background when a size is first seen, so that no frame waits for it.
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
        self._lock = threading.Lock()
        self._compiling: threading.Thread | None = None
        self._model = _openvino_model(network)
        self._any_size = self._compile(self._model)
        self._one_size: tuple[tuple[int, ...], Any] | None = None

    def __call__(self, left: np.ndarray, right: np.ndarray) -> Pair:
        with self._lock:
            ready = self._one_size is not None and self._one_size[0] == left.shape
            request = self._one_size[1] if ready and self._one_size else self._any_size
            idle = self._compiling is None or not self._compiling.is_alive()
        if not ready and idle:
            self._compiling = threading.Thread(target=self.prepare, args=left.shape[:2])
            self._compiling.start()
        result = request.infer([np.ascontiguousarray(left), np.ascontiguousarray(right)], share_inputs=True)
        return result[0].copy(), result[1].copy()

    def prepare(self, height: int, width: int) -> None:
        shape = (height, width, 3)
        model = self._model.clone()
        model.reshape({0: list(shape), 1: list(shape)})
        request = self._compile(model)
        with self._lock:
            self._one_size = (shape, request)

    def close(self) -> None:
        if self._compiling is not None:
            self._compiling.join()
        self._one_size = self._any_size = self._model = None

    def _compile(self, model: Any) -> Any:
        options = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        return self._core.compile_model(model, "CPU", options).create_infer_request()


def _openvino_model(network: APANet) -> Any:
    """Trace the network into an OpenVINO model of dynamic height and width, uint8 in and out."""
    import warnings

    import openvino

    for module in network.modules():
        if isinstance(module, ParallaxAttention):
            module.attention = masked_attention  # the only form without a branch on the size
    height, width = network.config.stride + 2, network.config.stride + 6  # not a multiple: the padding is traced too
    example = torch.zeros(height, width, 3, dtype=torch.uint8)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's, about the shape checks
        return openvino.convert_model(
            Uint8Derainer(network).eval(), example_input=(example, example), input=[(-1, -1, 3), (-1, -1, 3)]
        )


ENGINES: dict[str, Any] = {"torch": TorchEngine, "openvino": OpenVINOEngine}


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
    if not (device in ("auto", "cpu", "cuda") or device.startswith("cuda:")):
        raise ValueError(f"unknown device {device!r}: choose one of auto, cpu, cuda, cuda:N")
    if engine == "auto":
        gpu = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
        half = precision not in ("auto", "float32")
        engine = "torch" if gpu or half or find_spec("openvino") is None else "openvino"
    if engine == "openvino" and find_spec("openvino") is None:
        raise ImportError("the openvino engine needs the package openvino: pip install openvino, or use engine 'torch'")
    made: Engine = ENGINES[engine](network, device, precision)
    return made
