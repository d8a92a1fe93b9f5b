"""Engines by name; which one is fastest depends on the machine."""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import Any

import torch

from apanet_core.engines.engine import PRECISIONS, Engine, EngineOptions
from apanet_core.engines.openvino_engine import OpenVINOEngine
from apanet_core.engines.torch_engine import TorchEngine
from apanet_core.model.network import APANet

ENGINES: dict[str, Any] = {"torch": TorchEngine, "openvino": OpenVINOEngine}
SMALLEST_MAPPED_STRIDE = 4  # finest resolution of parallax attention at which a map of H x W x W weights is bearable


def choose_model(engine: str, device: str) -> str:
    """Return the preset for "auto": the best one that keeps up with a camera, `small` on CUDA, `tiny` on a CPU.

    Args:
        engine: see `make_engine`.
        device: see `EngineOptions`.

    Returns:
        Name of a bundled preset.
    """
    on_cuda = device.startswith("cuda") or (device == "auto" and engine in ("auto", "torch") and _has_cuda())
    return "small" if on_cuda else "tiny"


def _has_cuda() -> bool:
    return bool(torch.cuda.is_available())


def make_engine(
    network: APANet,
    engine: str = "auto",
    device: str = "auto",
    precision: str = "auto",
    compiled: bool = False,
) -> Engine:
    """Build an engine around `network`, which it then owns.

    Args:
        network: in eval mode, float32.
        engine: a key of `ENGINES`, or "auto": torch where the device is a CUDA one, else OpenVINO where installed; but
            torch as well where parallax attention works at full or half resolution, whose map OpenVINO would build.
        device: see `EngineOptions`.
        precision: see `EngineOptions`.
        compiled: see `EngineOptions`.

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
        gpu = device.startswith("cuda") or (device == "auto" and _has_cuda())
        half = precision == "float16"
        openvino = find_spec("openvino") is not None
        coarse = network.config.finest_parallax_stride >= SMALLEST_MAPPED_STRIDE
        engine = "openvino" if openvino and coarse and not (gpu or half or compiled) else "torch"
    if compiled and engine != "torch":
        raise ValueError(f"compiled is an option of the engine 'torch': the {engine} engine always compiles")
    made: Engine = ENGINES[engine](network, EngineOptions(device, precision, compiled))
    return made
