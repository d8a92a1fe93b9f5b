"""Draw docs/before_after.png: a rendered street, so that the picture has no other owner.

Every pixel of both views is traced to the nearest of a few textured planes. That gives an exact stereo pair and its
true disparity. Run: .venv/bin/python -m tools.make_picture
"""

from pathlib import Path

import numpy as np
import torch

from apanet_core import StereoDerainer
from apanet_core.rain.counter_random import CounterRandom
from apanet_core.rain.drops import Rain
from apanet_core.rain.render import render_rain
from apanet_core.rain.weather import Weather
from apanet_core.stereo.camera import StereoCamera
from tools.demo.recording import Truth
from tools.demo.report import draw

CAMERA = StereoCamera(focal_px=620, baseline_m=0.3, cx=480, cy=210)
SIZE = (400, 960)
# axis of the normal (0 x, 1 y, 2 z), its coordinate in m, then the extent along the two other axes, texture number
SURFACES = [
    (1, 1.6, (-60, 60), (0.5, 400), "road"),
    (0, -9.0, (-14, 1.6), (4, 90), "brick"),
    (0, 8.0, (-10, 1.6), (2, 60), "plaster"),
    (2, 90.0, (-60, 60), (-25, 1.6), "plaster"),
    (2, 9.0, (-4.2, -2.2), (0.2, 1.6), "car"),
    (0, -2.2, (0.2, 1.6), (9, 13), "car"),
    (2, 14.0, (1.6, 3.8), (-0.3, 1.6), "van"),
    (2, 6.0, (2.7, 2.85), (-3.5, 1.6), "pole"),
    (2, 18.0, (-5.6, -5.4), (-5.0, 1.6), "pole"),
]


def texture(name: str, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the colour (..., 3) in [0, 1] of a surface at its plane coordinates `a` and `b` in m."""
    grain = 0.06 * (_noise(23 * a, 23 * b) + _noise(5 * a, 5 * b) - 1)
    if name == "road":
        line = (np.abs(np.abs(a) - 0.08) < 0.07) & (b % 6 < 3) | (np.abs(np.abs(a) - 4) < 0.08)
        return np.where(line, 0.85, 0.33 + grain)[..., None] * np.array([1, 1, 1.02])
    if name == "brick":
        row = np.floor(a / 0.3)
        mortar = (a % 0.3 < 0.03) | ((b + 0.35 * (row % 2)) % 0.7 < 0.03)
        window = (a % 3.5 > 1.2) & (a % 3.5 < 2.9) & (b % 4 > 1.2) & (b % 4 < 2.8)
        wall = np.where(
            mortar[..., None], 0.62, np.array([0.55, 0.29, 0.22]) + 0.2 * _noise(row, b // 0.7)[..., None] - 0.1
        )
        return np.where(window[..., None], np.array([0.22, 0.29, 0.36]) + 2 * grain[..., None], wall + grain[..., None])
    if name == "plaster":
        window = (a % 2.8 > 0.9) & (a % 2.8 < 2.1) & (b % 3 > 0.9) & (b % 3 < 2.2)
        wall = np.array([0.78, 0.72, 0.58]) + 2 * grain[..., None]
        return np.where(window[..., None], np.array([0.3, 0.34, 0.38]) + 2 * grain[..., None], wall)
    base = {"car": [0.62, 0.1, 0.1], "van": [0.75, 0.78, 0.8], "pole": [0.25, 0.27, 0.25]}[name]
    glass = (name == "van") & (b < 0.5) & (b > -0.1) & (a > 1.8) & (a < 3.6)
    return np.where(glass[..., None], 0.2, np.array(base) + 1.5 * grain[..., None])


def _noise(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return a smooth pattern in [0, 1] without a visible period."""
    return 0.5 + 0.25 * (np.sin(1.7 * a + 2.3 * np.sin(0.9 * b)) + np.sin(2.1 * b + 1.9 * np.sin(1.3 * a)))


def trace(offset_m: float) -> tuple[np.ndarray, np.ndarray]:
    """Render the view of a camera, with 2x2 samples per pixel.

    Args:
        offset_m: distance of the camera to the right, in m.

    Returns:
        The view (H, W, 3) uint8, and the depth (H, W) in m.
    """
    height, width = (2 * side for side in SIZE)
    v, u = (np.mgrid[:height, :width] + 0.5) / 2
    ray = [(u - CAMERA.cx) / CAMERA.focal_px, (v - CAMERA.cy) / CAMERA.focal_px, np.ones_like(u)]
    origin = (offset_m, 0.0, 0.0)
    depth = np.full(u.shape, 1e4)
    colour = np.array([0.62, 0.7, 0.8]) + 0.2 * (v / height)[..., None]
    for axis, coordinate, first, second, name in SURFACES:
        with np.errstate(divide="ignore", invalid="ignore"):
            t = (coordinate - origin[axis]) / ray[axis]
            a, b = (origin[i] + t * ray[i] for i in range(3) if i != axis)
            hit = (t > 0) & (t < depth) & (a > first[0]) & (a < first[1]) & (b > second[0]) & (b < second[1])
            depth = np.where(hit, t, depth)
            colour = np.where(hit[..., None], texture(name, np.where(hit, a, 0), np.where(hit, b, 0)), colour)
    pixels = colour.reshape(*SIZE[:1], 2, SIZE[1], 2, 3).mean(axis=(1, 3))
    return (255 * np.clip(pixels, 0, 1)).astype(np.uint8), depth[::2, ::2]


def main() -> None:
    """Trace the street, render rain, derain, draw."""
    (left, left_depth), (right, right_depth) = trace(0.0), trace(CAMERA.baseline_m)
    disparities = tuple(CAMERA.disparity(depth).astype(np.float32) for depth in (left_depth, right_depth))
    weather = Weather(Rain(rate_mm_h=25, exposure_s=0.01, wind_mps=1.5, aperture_px=1.0))
    rainy = render_rain((left, right), disparities, CAMERA, weather, CounterRandom(3, torch.tensor([0])))
    derained = StereoDerainer("tiny")(rainy.left, rainy.right)
    path = Path(__file__).parents[1] / "docs" / "before_after.png"
    draw((rainy.left, rainy.right), derained, Truth(left, right, disparities[0]), path)
    print(path)


if __name__ == "__main__":
    main()
