"""Rainy training pairs that are rendered on demand: every index is another scene in other rain."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from apanet_core.rain.batched.scenes import occluded
from apanet_core.rain.scenes import PhotoPool, Scene, random_scene
from apanet_core.rain.sensor import Sensor, apply_camera_gains
from apanet_core.rain.weather import render_weather, sample_weather

GAIN_SPREAD = 0.02  # between the cameras of a pair, in every other sample


class SyntheticRain(Dataset[dict[str, torch.Tensor]]):
    """Scenes cut from photographs, with drops that both cameras see or streaks that differ between the views.

    Args:
        folders: photographs, searched recursively.
        size: (height, width) of a sample in px.
        length: number of samples.
        seed: seed of the samples; seed and index determine a sample.
        validation: use the held-out photographs.
        single_image: share of samples whose views are the same rainy photograph (zero disparity).
    """

    def __init__(
        self,
        folders: list[Path],
        size: tuple[int, int],
        length: int,
        seed: int = 0,
        validation: bool = False,
        single_image: float = 0.1,
    ) -> None:
        self.pool = PhotoPool(folders, validation=validation)
        self.size = size
        self.length = length
        self.seed = seed
        self.single_image = single_image

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """Render one sample.

        rainy_left, rainy_right, clean_left, clean_right: (3, H, W) uint8 RGB. left_disparity, right_disparity: (H, W)
        float32 px, NaN where the other view does not show the point.
        """
        rng = np.random.default_rng([self.seed, index])
        scene = random_scene(self.pool, self.size, rng)
        single = rng.uniform() < self.single_image
        if single:
            # the same photograph in both views; its depth only places the drops and the veil
            depth_m = np.exp(rng.uniform(np.log(5), np.log(100)))
            flat = np.full(self.size, scene.camera.disparity(depth_m), np.float32)
            scene = Scene(scene.left, scene.left, flat, flat, scene.camera)
        scene = _recolour(scene, rng)
        rainy = render_weather(scene, sample_weather(rng), rng)
        views = {
            "rainy_left": rainy.left,
            "rainy_right": rainy.right,
            "clean_left": scene.left,
            "clean_right": scene.right,
        }
        if single:  # the rain is the same too: in use, a single image is also given as both views
            views |= {"rainy_right": rainy.left, "clean_right": scene.left}
        sample = {name: torch.from_numpy(np.ascontiguousarray(v.transpose(2, 0, 1))) for name, v in views.items()}
        disparity = torch.from_numpy(np.stack([scene.left_disparity, scene.right_disparity])).float()
        if single:
            disparity = torch.zeros_like(disparity)
        disparity = torch.where(occluded(disparity[None])[0], torch.nan, disparity)
        return sample | {"left_disparity": disparity[0], "right_disparity": disparity[1]}


def _recolour(scene: Scene, rng: np.random.Generator) -> Scene:
    """Vary exposure, contrast and saturation of both clean views equally, and slightly the gain of each camera."""
    gamma, gain = float(np.exp(rng.normal(0, 0.25))), rng.uniform(0.6, 1.15)
    tone = np.clip(255 * gain * (np.arange(256) / 255) ** gamma, 0, 255).astype(np.uint8)
    grey = rng.choice([0.0, 1.0, rng.uniform()], p=[0.6, 0.1, 0.3])

    def apply(view: np.ndarray) -> np.ndarray:
        view = cv2.LUT(np.ascontiguousarray(view), tone)
        if grey:
            flat = cv2.cvtColor(cv2.cvtColor(view, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
            view = cv2.addWeighted(view, 1 - grey, flat, grey, 0)
        return view

    sensor = Sensor(gain_spread=GAIN_SPREAD * float(rng.integers(2)))
    left, right = apply_camera_gains(apply(scene.left), apply(scene.right), sensor, rng)
    return Scene(left, right, scene.left_disparity, scene.right_disparity, scene.camera)
