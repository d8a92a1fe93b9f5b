"""Render falling rain in a stereo pair: the same drops in space, seen by both cameras, and their veil.

Sources: streak appearance Garg & Nayar 2006/2007, veil Weber et al. 2015, colour Halder et al. 2019.
"""

from __future__ import annotations

import cv2
import numpy as np

from apanet_core.stereo.camera import StereoCamera
from tools.second_renderer.drops import Rain, coverage_time_s, sample_drops
from tools.second_renderer.light import SRGB_TO_LINEAR, to_linear, to_srgb

DROP_CROSSING_S = np.sqrt(1.16e-3) / 50  # t0 of Garg & Nayar: time in which a 1.16 mm drop falls by its own width
FARTHEST_SCENE_M = 1000.0


def render_rain(
    left: np.ndarray,
    right: np.ndarray,
    left_disparity: np.ndarray,
    right_disparity: np.ndarray,
    camera: StereoCamera,
    rain: Rain,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Render rain in a clean rectified pair.

    Args:
        left: (H, W, 3) uint8 RGB.
        right: (H, W, 3) uint8 RGB.
        left_disparity: (H, W) px of the left view; where unknown, use a background value.
        right_disparity: (H, W) px of the right view; where unknown, use a background value.
        camera: geometry in px of these images.
        rain: the shower; rate 0 leaves the pair unchanged.
        rng: random numbers; the seed determines the rain.

    Returns:
        The rainy views, (H, W, 3) uint8 RGB each.
    """
    drops = sample_drops(camera, left.shape[:2], rain, rng)
    field, sky = average_light(left, right)
    # a drop is a fish-eye lens, which shows the average light of its surroundings
    drop_colour = (rain.brightness * (0.94 * field + 0.06 * sky) / DROP_CROSSING_S).astype(np.float32)
    veil_colour = (rain.veil_brightness * 0.5 * (field + sky)).astype(np.float32)
    views = []
    for view, disparity, is_right in ((left, left_disparity, False), (right, right_disparity, True)):
        covered = coverage_time_s(drops, camera, rain, disparity, is_right)
        free = 1 - covered / np.float32(rain.exposure_s)
        veiled = np.zeros_like(free)
        if rain.veil and rain.rate_mm_h > 0:
            depth = np.minimum(camera.depth(disparity), FARTHEST_SCENE_M).astype(np.float32)
            veiled = 1 - np.exp(np.float32(-rain.extinction_per_m) * depth)
        through = free * (1 - veiled)
        veiled *= free
        # plane by plane: NumPy is slow where the last axis has three elements
        planes = [
            to_srgb(to_linear(view[..., c]) * through + veil_colour[c] * veiled + drop_colour[c] * covered)
            for c in range(3)
        ]
        views.append(np.rint(cv2.merge(planes)).astype(np.uint8))
    return views[0], views[1]


def average_light(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean (surroundings of a drop) and 98th percentile (sky) of both views' linear light, (3,) each."""
    means, bright = [], []
    for view in (left, right):
        counts = np.stack([cv2.calcHist([view], [c], None, [256], [0, 256]).reshape(-1) for c in range(3)])
        counts = counts / view[..., 0].size
        means.append(counts @ SRGB_TO_LINEAR)
        bright.append(SRGB_TO_LINEAR[(counts.cumsum(axis=1) < 0.98).sum(axis=1).clip(max=255)])
    return np.mean(means, axis=0), np.mean(bright, axis=0)
