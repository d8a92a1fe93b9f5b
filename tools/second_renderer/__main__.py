"""Render the rain of the evaluation over clean pairs, with the second renderer.

Run: .venv/bin/python -m tools.second_renderer PAIRS --out OUT --rate 50 --seed 7
"""

from __future__ import annotations

import argparse
import zlib
from pathlib import Path

import numpy as np

from apanet_core.data.layouts import find_clean
from apanet_core.data.render_folder import CLEAN, RAINY, CleanPair, both_disparities
from apanet_core.images.files import read_image, write_image
from apanet_core.progress import progress_bar
from apanet_core.rain.render_settings import RenderSettings
from tools.second_renderer.drops import Rain
from tools.second_renderer.render import render_rain
from tools.second_renderer.streaks import add_streaks, random_streaks, streak_layer


def main() -> None:
    """Write rain_left, rain_right, gt_left and gt_right, for `apanet evaluate`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clean", type=Path, help="folder of clean pairs, as for apanet render-rain")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rate", type=float, default=50.0, help="mm/h")
    parser.add_argument("--no-veil", action="store_true")
    parser.add_argument("--streaks", action="store_true", help="2-D streaks instead of drops")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    for folder in (*RAINY, *CLEAN):
        (args.out / folder).mkdir(parents=True, exist_ok=True)
    for name, left, right in progress_bar(find_clean(args.clean), desc="render rain", unit="pair"):
        views = [read_image(left), read_image(right)]
        rng = np.random.default_rng([args.seed, zlib.crc32(name.encode()), 0])
        if args.streaks:
            layers = random_streaks(rng)
            rainy = [
                add_streaks(view, [streak_layer(view.shape[:2], layer, rng) for layer in layers]) for view in views
            ]
        else:
            settings = RenderSettings()
            disparities = both_disparities(CleanPair(name, left, right, None), *views, settings)
            shower = Rain(args.rate, veil=not args.no_veil)
            rainy = list(render_rain(*views, *disparities, settings.camera(views[0].shape[:2]), shower, rng))
        for folder, view in zip((*RAINY, *CLEAN), (*rainy, *views)):
            write_image(args.out / folder / f"{name}.png", view)


if __name__ == "__main__":
    main()
