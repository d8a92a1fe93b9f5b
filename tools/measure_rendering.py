"""Time the renderer: training samples a second, and rainy pairs a second of it and of the second renderer.

Run: .venv/bin/python -m tools.measure_rendering PHOTOS
"""

import os
import sys
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import torch

from apanet_core.rain.counter_random import CounterRandom
from apanet_core.rain.drops import Rain
from apanet_core.rain.marked_photos import training_atlas
from apanet_core.rain.photo_atlas import PhotoAtlas
from apanet_core.rain.render import render_rain
from apanet_core.rain.samples import render_samples
from apanet_core.rain.weather import Weather
from apanet_core.stereo.camera import StereoCamera
from tools.second_renderer import drops as second_drops
from tools.second_renderer.render import render_rain as second_render_rain

SIZES = ((128, 320), (192, 384))
SECONDS = 10.0
PAIR_SIZES = ((128, 320), (375, 1242))
RATES = (12.0, 50.0)


def rate(batch: int, render: Callable[[int], object]) -> float:
    """Call `render(0)`, then `render(1)`, `render(2)` and so on for `SECONDS`; return samples/s without the first."""
    render(0)
    began, number = time.perf_counter(), 0
    while time.perf_counter() - began < SECONDS:
        number += 1
        render(number)
    return batch * number / (time.perf_counter() - began)


def samples_rate(atlas: PhotoAtlas, size: tuple[int, int], batch: int) -> float:
    """Return the training samples/s on the device of `atlas`."""
    indices = torch.arange(batch, device=atlas.pixels.device)

    def render(number: int) -> None:
        samples = render_samples(atlas, size, 1, indices + number * batch)
        samples["rainy_left"].sum().item()  # waits for the device

    return rate(batch, render)


def pair_rates(size: tuple[int, int], rain: float) -> tuple[float, float]:
    """Return the pairs/s of both renderers over a pair of `size`, one by one on the CPU."""
    views = tuple(np.random.default_rng(0).integers(0, 256, (2, *size, 3), dtype=np.uint8))
    disparity = np.linspace(0.5, 60, size[0], dtype=np.float32)[:, None].repeat(size[1], axis=1)
    both, camera = (disparity, disparity), StereoCamera(721.5, 0.54, size[1] / 2, size[0] / 2)

    def first(number: int) -> None:
        render_rain(views, both, camera, Weather(Rain(rain)), CounterRandom(0, torch.tensor([number])))

    def second(number: int) -> None:
        shower = second_drops.Rain(rain)
        second_render_rain(*views, *both, camera, shower, np.random.default_rng(number))

    return rate(1, first), rate(1, second)


def main() -> None:
    """Print both tables."""
    photos = Path(sys.argv[1])
    cores = os.environ.get("OMP_NUM_THREADS", "all")
    atlas = training_atlas([photos], 0)
    print("| training samples | where | batch | samples/s |\n|---|---|---|---|")
    for size in SIZES:
        shown = f"{size[1]}x{size[0]}"
        for batch in (1, 8, 32):
            print(f"| {shown} | CPU, {cores} cores | {batch} | {samples_rate(atlas, size, batch):.1f} |", flush=True)
        if torch.cuda.is_available():
            on_card = training_atlas([photos], 0, torch.device("cuda"))
            for batch in (32, 128, 512):
                name = torch.cuda.get_device_name()
                print(f"| {shown} | {name} | {batch} | {samples_rate(on_card, size, batch):.0f} |", flush=True)
    print("\n| rain over given pairs | renderer, pairs/s | second renderer, pairs/s |\n|---|---|---|")
    for size, rain in product(PAIR_SIZES, RATES):
        first, second = pair_rates(size, rain)
        print(f"| {size[1]}x{size[0]}, {rain:.0f} mm/h | {first:.2f} | {second:.2f} |", flush=True)


if __name__ == "__main__":
    main()
