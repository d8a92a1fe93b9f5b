"""How much memory a pair takes, so that one that does not fit is refused before anything is allocated."""

from __future__ import annotations

from pathlib import Path

import torch

from apanet_core.model.config import ModelConfig
from apanet_core.runtime.engine import PRECISIONS

GIB = 2**30


def needed_bytes(config: ModelConfig, engine: str, precision: str, height: int, width: int) -> float:
    """Memory that one pair takes beside the loaded model: an upper bound fitted to measurements (docs/decisions/009).

    Args:
        config: of the network.
        engine: its name.
        precision: of the computation.
        height: of a view, px.
        width: of a view, px.

    Returns:
        Bytes.
    """
    stem = config.stem_stride
    value = PRECISIONS[precision].itemsize
    image = 2 * 3 * height * width * value
    finest = 2 * config.channels[0] * (height / stem) * (width / stem) * value
    if engine == "torch":  # what is local to a row lives in strips
        return 0.2 * GIB + (9 if 1 in config.parallax_levels else 6) * finest + 5 * image
    stride = config.finest_parallax_stride
    attention_map = (height / stride) * (width / stride) ** 2 * value
    return 0.1 * GIB + 13 * finest + 6 * image + 11 * attention_map


def free_bytes(device: str) -> float:
    """Free memory in bytes: of the GPU for a device named other than "CPU", else of the machine; inf if unknown."""
    if device != "CPU" and torch.cuda.is_available():
        return torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("MemAvailable")).split()[1])
    except (OSError, StopIteration):
        return float("inf")


def check_memory(config: ModelConfig, engine: str, precision: str, device: str, height: int, width: int) -> None:
    """Raise MemoryError where a pair of this size does not fit.

    Args:
        config: of the network.
        engine: its name.
        precision: of the computation.
        device: as the engine names it.
        height: of what the engine gets at once, px.
        width: likewise.

    Raises:
        MemoryError: with what it takes, what there is, and what to do.
    """
    needed, free = needed_bytes(config, engine, precision, height, width), free_bytes(device)
    if needed > free:
        fewer = "" if engine == "torch" else ", the torch engine, which needs less,"
        raise MemoryError(
            f"a pair of {width}x{height} takes about {needed / GIB:.1f} GiB with this model and the {engine} engine, "
            f"and {free / GIB:.1f} GiB are free: use tile (rows at a time, such as {max(16, height // 4)}){fewer} "
            "or a smaller model"
        )
