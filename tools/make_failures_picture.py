"""Draw docs/failures.jpg: failures of the bundled weights, on the street of make_picture.py.

Run: .venv/bin/python -m tools.make_failures_picture
"""

from pathlib import Path

import cv2
import numpy as np
import torch

from apanet_core import StereoDerainer
from apanet_core.images.files import write_image
from apanet_core.model.checkpoint import bundled_models
from apanet_core.rain.counter_random import CounterRandom
from apanet_core.rain.drops import Rain
from apanet_core.rain.glass import WetGlass
from apanet_core.rain.render import render_rain
from apanet_core.rain.streaks import Streaks
from apanet_core.rain.weather import Weather
from tools.make_picture import CAMERA, trace

CROP = slice(90, 330), slice(150, 640)
# two layers as dense and as bright as those of Rain100H
DENSE = Streaks(cover=(0.32, 0.32), length_px=40, width_px=2, angle_deg=(-20, 15), strength=0.5, fade=0.3)
WEATHERS = {
    "100 mm/h with veil": Weather(Rain(rate_mm_h=100, exposure_s=0.01, aperture_px=1.0)),
    "dense streaks": Weather(streaks=DENSE),
    "drops on the lens": Weather(Rain(rate_mm_h=10, veil=0, aperture_px=1.0), glass=WetGlass(drops=12)),
}


def labelled(view: np.ndarray, words: str) -> np.ndarray:
    """Return the crop of a view with a caption above it."""
    crop = np.ascontiguousarray(view[CROP])
    head = np.zeros((26, crop.shape[1], 3), np.uint8)
    cv2.putText(head, words, (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
    return np.vstack([head, crop])


def main() -> None:
    """Trace the street, render rain, derain with every bundled set of weights, draw."""
    (left, left_depth), (right, right_depth) = trace(0.0), trace(CAMERA.baseline_m)
    disparities = tuple(CAMERA.disparity(depth).astype(np.float32) for depth in (left_depth, right_depth))
    derainers = {name: StereoDerainer(name) for name in sorted(bundled_models(), reverse=True)}
    rows = []
    for words, weather in WEATHERS.items():
        rainy = render_rain((left, right), disparities, CAMERA, weather, CounterRandom(0, torch.tensor([0])))
        row = [labelled(rainy.left, words)]
        for name, derainer in derainers.items():
            row.append(labelled(derainer(rainy.left, rainy.right)[0], name))
        rows.append(np.hstack([*row, labelled(left, "true clean")]))
    picture = cv2.resize(np.vstack(rows), None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA)
    path = Path(__file__).parents[1] / "docs" / "failures.jpg"
    write_image(path, picture)
    print(path)


if __name__ == "__main__":
    main()
