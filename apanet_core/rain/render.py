"""Render weather over one stereo pair, as images in NumPy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from apanet_core.rain.counter_random import CounterRandom
from apanet_core.rain.scenes import Scenes
from apanet_core.rain.sensor import apply_camera_gains
from apanet_core.rain.surfaces import Cameras
from apanet_core.rain.weather import Weather, render_weather
from apanet_core.stereo.camera import StereoCamera


@dataclass(frozen=True)
class RainyPair:
    """A rendered pair.

    Attributes:
        left: (H, W, 3) uint8 RGB.
        right: (H, W, 3) uint8 RGB.
        left_mask: (H, W) bool, True where a streak or a drop on the glass is visible.
        right_mask: (H, W) bool.
    """

    left: np.ndarray
    right: np.ndarray
    left_mask: np.ndarray
    right_mask: np.ndarray


@torch.no_grad()
def render_rain(
    views: tuple[np.ndarray, np.ndarray],
    disparities: tuple[np.ndarray, np.ndarray],
    camera: StereoCamera,
    weather: Weather,
    random: CounterRandom,
) -> RainyPair:
    """Render weather over a clean rectified pair.

    Args:
        views: left and right, (H, W, 3) uint8 RGB each.
        disparities: of left and right view, (H, W) px each; where unknown, use a background value.
        camera: geometry in px of these images.
        weather: effects to render; the default leaves the pair unchanged.
        random: random numbers of one sample; seed and index determine the image.

    Returns:
        The rainy pair with its masks.
    """
    values = camera.focal_px, camera.baseline_m, camera.cx, camera.cy, camera.disparity_offset
    cameras = Cameras(*(torch.tensor([float(value)]) for value in values))
    disparity = torch.from_numpy(np.stack(disparities)).float()[None]
    rainy, visible = render_weather(Scenes(_to_tensor(views), disparity, cameras), weather, random)
    return RainyPair(*_to_images(rainy), *visible[0].numpy())


def with_camera_gains(
    views: tuple[np.ndarray, np.ndarray], spread: float, random: CounterRandom
) -> tuple[np.ndarray, np.ndarray]:
    """Apply random gains to clean views, (H, W, 3) uint8 each; see `apply_camera_gains`."""
    if not spread:
        return views
    return _to_images(apply_camera_gains(_to_tensor(views), torch.tensor([spread]), random))


def _to_tensor(views: tuple[np.ndarray, np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2)[None].contiguous().float()


def _to_images(views: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    left, right = views[0].to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    return left, right
