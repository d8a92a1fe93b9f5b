"""Count the training samples that both renderers make in a second, on the CPU and on a graphics card if there is one.

Run: .venv/bin/python -m tools.measure_rendering PHOTOS
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from apanet_core.data.synthetic import SyntheticRain
from apanet_core.rain.photo_atlas import PhotoAtlas
from apanet_core.rain.photos import read_photos
from apanet_core.rain.samples import render_samples

SIZES = ((128, 320), (192, 384))
SECONDS = 10.0


def rate(batch: int, render: Callable[[int], object]) -> float:
    """Call `render(0)`, then `render(1)`, `render(2)` and so on for `SECONDS`; return samples/s without the first."""
    render(0)
    began, number = time.perf_counter(), 0
    while time.perf_counter() - began < SECONDS:
        number += 1
        render(number)
    return batch * number / (time.perf_counter() - began)


def on_device(photos: Path, size: tuple[int, int], device: str, batch: int) -> float:
    """Return the samples/s of the renderer in torch."""
    atlas = PhotoAtlas(read_photos([photos]), torch.device(device))
    indices = torch.arange(batch, device=device)

    def render(number: int) -> None:
        samples = render_samples(atlas, size, 1, indices + number * batch)
        samples["rainy_left"].sum().item()  # waits for the device

    return rate(batch, render)


def main() -> None:
    """Print a row for each size and renderer."""
    photos = Path(sys.argv[1])
    cores = os.environ.get("OMP_NUM_THREADS", "all")
    print("| size | renderer | where | batch | samples/s |\n|---|---|---|---|---|")
    for size in SIZES:
        shown = f"{size[1]}x{size[0]}"
        samples = SyntheticRain([photos], size, 1 << 20)
        print(f"| {shown} | NumPy | one CPU core | 1 | {rate(1, samples.__getitem__):.1f} |", flush=True)
        print(f"| {shown} | torch | CPU, {cores} cores | 8 | {on_device(photos, size, 'cpu', 8):.1f} |", flush=True)
        for batch in (32, 128, 512) if torch.cuda.is_available() else ():
            name = torch.cuda.get_device_name()
            print(f"| {shown} | torch | {name} | {batch} | {on_device(photos, size, 'cuda', batch):.0f} |", flush=True)


if __name__ == "__main__":
    main()
