"""Dense 2-D streaks like those of the public benchmarks: strong, and not consistent between the views."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Streaks:
    """A layer of streaks.

    Args:
        density: share of pixels that start a streak.
        length_px: length of a streak.
        width_px: width of a streak (the standard deviation of its profile is half of it, at least 0.35 px).
        angle_deg: 0 falls straight down, positive leans right.
        strength: brightness added by a streak, for images in [0, 1].
        fade: share of the length over which a streak fades out, half at each end; 0: no fading.
    """

    density: float
    length_px: float
    width_px: float
    angle_deg: float
    strength: float
    fade: float = 0.0


def streak_layer(size: tuple[int, int], streaks: Streaks, rng: np.random.Generator) -> np.ndarray:
    """Render a layer: (H, W) float32, >= 0, to be added to an image in [0, 1]."""
    height, width = size
    reach = int(np.ceil(streaks.length_px / 2 + 2 * streaks.width_px)) + 1
    seeds = rng.uniform(size=(height + 2 * reach, width + 2 * reach)).astype(np.float32)
    seeds = np.where(seeds < streaks.density, rng.uniform(0.3, 1.0, seeds.shape), 0).astype(np.float32)
    layer = cv2.filter2D(seeds, -1, _streak_kernel(streaks, reach), borderType=cv2.BORDER_CONSTANT)
    return streaks.strength * np.clip(layer[reach:-reach, reach:-reach], 0, 1.5)


def add_streaks(image: np.ndarray, layers: list[np.ndarray], screen: float = 0.0) -> np.ndarray:
    """Add streaks to an image.

    Args:
        image: (H, W, 3) uint8.
        layers: (H, W) each.
        screen: 0 adds the layers and clips at white; 1 blends like "screen" in an image editor, which adds less to
            bright pixels; values between mix the two.

    Returns:
        (H, W, 3) uint8.
    """
    total = np.sum(layers, axis=0)[..., None]
    if screen:
        total = np.minimum(total, 1) * (1 - np.float32(screen / 255) * image)
    return np.clip(np.rint(image + 255 * total), 0, 255).astype(np.uint8)


def random_streaks(rng: np.random.Generator) -> list[Streaks]:
    """Sample a shower like those of the benchmarks: one to four layers about one direction, fine to coarse."""
    angle = rng.uniform(-45, 45)
    heavy = rng.uniform()
    fade = rng.choice([0.0, rng.uniform()])
    layers = []
    for _ in range(rng.integers(1, 5)):
        length = float(np.exp(rng.uniform(np.log(10), np.log(90))))
        width = min(float(np.exp(rng.uniform(np.log(0.6), np.log(3.0)))), length / 10)
        cover = rng.uniform(0.02, 0.10 + 0.40 * heavy)  # share of the image under this layer
        layers.append(
            Streaks(
                density=cover / (length * width),
                length_px=length,
                width_px=width,
                angle_deg=angle + rng.normal(0, rng.choice([2, 15])),
                strength=rng.uniform(0.08, 0.25 + 0.55 * heavy),
                fade=fade,
            )
        )
    return layers


def _streak_kernel(streaks: Streaks, reach: int) -> np.ndarray:
    axis = np.arange(-reach, reach + 1, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    lean = np.deg2rad(streaks.angle_deg)
    along = x * np.sin(lean) + y * np.cos(lean)
    across = x * np.cos(lean) - y * np.sin(lean)
    profile = np.exp(-0.5 * (across / max(streaks.width_px / 2, 0.35)) ** 2)
    from_end = streaks.length_px / 2 - np.abs(along) + 0.5
    ends = np.clip(from_end / max(streaks.fade * streaks.length_px / 2, 1), 0, 1)
    return (profile * ends).astype(np.float32)
