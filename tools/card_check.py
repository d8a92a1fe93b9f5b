"""Prints what the package does on a graphics card, as Markdown tables: agreement, speed, memory, the renderer.

Without a card it runs on the CPU with small sizes, which only shows that the script works.
Run: python -m tools.card_check --photos FOLDER
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from apanet_core import StereoDerainer
from apanet_core.benchmark import machine
from apanet_core.engines.memory import estimate_bytes
from apanet_core.engines.torch_engine import TorchEngine
from apanet_core.rain.photo_atlas import PhotoAtlas
from apanet_core.rain.photos import read_photos
from apanet_core.rain.samples import render_samples

CARD = torch.cuda.is_available()
DEVICE = "cuda" if CARD else "cpu"
SIZES = ((375, 1242), (720, 1280)) if CARD else ((48, 64),)
MODELS = ("tiny", "small", "tiny-mono", "small-mono", *(["paper"] if CARD else []))
BATCHES = (32, 64, 128) if CARD else (2,)
REPEATS = 20 if CARD else 2


def random_pair(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a smooth random pair, (H, W, 3) uint8 each."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    wide = coarse.repeat(8, axis=0).repeat(8, axis=1)[:height, :width]
    return wide, np.roll(wide, -4, axis=1)


def wait() -> None:
    """Wait for the card."""
    if CARD:
        torch.cuda.synchronize()


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """Return the time of the first call and the median of `REPEATS` more, in ms."""
    times = []
    for _ in range(REPEATS + 1):
        wait()
        began = time.perf_counter()
        call()
        wait()
        times.append(1000 * (time.perf_counter() - began))
    return times[0], statistics.median(times[1:])


def check_models() -> None:
    """Print agreement with float32 on the CPU, times of captured and eager calls, and peak memory."""
    print("Differences in grey levels from float32 on the CPU; times of a whole call.\n")
    print("| model | size | precision | max, mean difference | first (ms) | captured (ms) | eager (ms) ", end="")
    print("| peak (MB) | promised (MB) |\n|---|---|---|---|---|---|---|---|---|")
    for model in MODELS:
        reference = StereoDerainer(model, "torch", "cpu", "float32")
        for size in SIZES:
            pair = random_pair(*size)
            want = np.stack(reference(*pair)).astype(int)
            for precision in ("float16", "float32"):
                derainer = StereoDerainer(model, "torch", DEVICE, precision)
                engine = derainer.engine
                assert isinstance(engine, TorchEngine)
                if CARD:
                    torch.cuda.reset_peak_memory_stats()
                first, captured = timed(lambda: derainer(*pair))  # noqa: B023 (called at once)
                _, eager = timed(lambda: engine.eager(*pair))  # noqa: B023
                difference = np.abs(np.stack(derainer(*pair)).astype(int) - want)
                memory = torch.cuda.max_memory_allocated() / 1e6 if CARD else 0
                promised = estimate_bytes(derainer.config, "torch", precision, *size, DEVICE) / 1e6
                print(
                    f"| {model} | {size[1]}x{size[0]} | {precision} | {difference.max()}, {difference.mean():.3f} "
                    f"| {first:.0f} | {captured:.2f} | {eager:.2f} | {memory:.0f} | {promised:.0f} |",
                    flush=True,
                )
                derainer.close()


def check_renderer(photos: Path) -> None:
    """Print the samples of 384x192 that the renderer makes in a second."""
    device = torch.device(DEVICE)
    atlas = PhotoAtlas(read_photos([photos]), device)
    print("\n| batch | samples/s |\n|---|---|")
    for batch in BATCHES:
        indices = torch.arange(batch, device=device)
        _, median = timed(lambda: render_samples(atlas, (192, 384), 1, indices))  # noqa: B023
        print(f"| {batch} | {1000 * batch / median:.0f} |", flush=True)


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True)
    arguments = parser.parse_args()
    print(f"{machine()}, {torch.version.cuda or 'no CUDA'}\n")
    check_models()
    check_renderer(arguments.photos)


if __name__ == "__main__":
    main()
