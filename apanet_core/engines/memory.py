"""Estimate of the memory of a pair: one that does not fit is refused before memory is allocated."""

from __future__ import annotations

import resource
from pathlib import Path

import torch

from apanet_core.engines.engine import PRECISIONS, Engine
from apanet_core.model.config import ModelConfig

GIB = 2**30
MATCHING_VALUES = {"torch": 110, "openvino": 190}  # additional values per pixel of a view for matching and fusion
CGROUP = Path("/sys/fs/cgroup")


def estimate_bytes(
    config: ModelConfig, engine: str, precision: str, height: int, width: int, device: str = "cpu"
) -> float:
    """Return the memory that one pair takes in addition to the model (docs/decisions/009); on a CPU an upper bound.

    Args:
        config: shape of the network.
        engine: name of the engine.
        precision: a key of `PRECISIONS`.
        height: rows of a view.
        width: columns of a view.
        device: "cpu" or "cuda".

    Returns:
        Bytes.
    """
    stem = config.stem_stride
    value = PRECISIONS["float32" if engine == "openvino" else precision].itemsize
    image = 2 * 3 * height * width * value
    matching = MATCHING_VALUES[engine] * height * width * value if config.matching_channels else 0
    finest = 2 * config.channels[0] * (height / stem) * (width / stem) * value
    if device == "cuda":
        fixed, features = (0.6, 12.5) if 1 in config.parallax_levels else (0.02, 15.6)
        return fixed * GIB + features * finest + 8.6 * image + matching
    if engine == "torch":  # features that depend on one row only are computed in strips
        return 0.25 * GIB + (10 if 1 in config.parallax_levels else 6) * finest + 5 * image + matching
    stride = config.finest_parallax_stride
    attention_map = (height / stride) * (width / stride) ** 2 * value
    return 0.1 * GIB + 13 * finest + 6 * image + 11 * attention_map + matching


def free_bytes(device: torch.device) -> float:
    """Free memory of a device in bytes; for the CPU the least that machine, container and process leave."""
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return float(torch.cuda.mem_get_info(device)[0] + cached)
    return min(_machine_bytes(), _container_bytes(), _process_bytes())


def _machine_bytes() -> float:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("MemAvailable")).split()[1])
    except (OSError, StopIteration):
        return float("inf")  # not Linux


def _container_bytes() -> float:
    """Return the bytes that the control group leaves (version 2, then 1); cached files count as free."""
    for group, limit, used, cached in (
        (CGROUP, "memory.max", "memory.current", "inactive_file"),
        (CGROUP / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            left = int((group / limit).read_text()) - int((group / used).read_text())
            entries = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            return float(left + int(entries[cached]))
        except (OSError, ValueError, KeyError):  # no such group, or "max"
            continue
    return float("inf")


def _process_bytes() -> float:
    """Return the bytes that `ulimit -v` leaves."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return float("inf")
    return float(limit - int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize())


def check_memory(
    config: ModelConfig, engine: Engine, height: int, width: int, dense: bool = False, batch: int | None = None
) -> None:
    """Raise MemoryError where pairs of this size do not fit.

    Args:
        config: shape of the network.
        engine: engine that will run it.
        height: rows that the engine gets at once.
        width: columns that the engine gets at once.
        dense: APAM builds its map of H x W x W weights, as a reference.
        batch: pairs in a batch of tensors, which `tile` does not cut; None: one pair of images.

    Raises:
        MemoryError: the pairs do not fit; the message has the needed and the free memory, and remedies.
    """
    rows = height * (batch or 1)  # a batch takes what its rows take in one image
    needed = estimate_bytes(config, engine.name, engine.precision, rows, width, engine.memory.type)
    if dense:
        stride = config.finest_parallax_stride
        needed += 4 * (height / stride) * (width / stride) ** 2 * PRECISIONS[engine.precision].itemsize
    free = free_bytes(engine.memory)
    if needed > free:
        what = "a pair" if batch is None else f"a batch of {batch} pairs"
        remedies = [f"tile (rows at a time, such as {max(64, height // 4)})"] if height > 64 and batch is None else []
        remedies += ["smaller batches"] if batch is not None else []
        remedies += ["the torch engine (it needs less)"] if engine.name != "torch" else []
        remedies += ["precision float16"] if engine.memory.type == "cuda" and engine.precision == "float32" else []
        raise MemoryError(
            f"{what} of {width}x{height} takes about {needed / GIB:.1f} GiB with this model in {engine.name}, and "
            f"{free / GIB:.1f} GiB are free: use {' or '.join([*remedies, 'a smaller model'])}"
        )
