"""Rainy training pairs, rendered as they are asked for: every index is its own scene in its own rain."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from apanet_core.data.rain import Rain, render_rain
from apanet_core.data.scenes import PhotoPool, Scene, random_scene
from apanet_core.data.streaks import add_streaks, random_streaks, streak_layer

# Shares of the kinds of sample; dry pairs teach the network to leave a dry pair alone.
KINDS = {"drops": 0.42, "streaks": 0.40, "both": 0.08, "dry": 0.10}


class SyntheticRain(Dataset[dict[str, torch.Tensor]]):
    """Scenes cut from photographs, in drops seen by both cameras or in streaks of each view its own.

    Args:
        folders: photographs, searched recursively.
        size: (height, width) of a sample in px.
        length: number of samples; an index always gives the same sample.
        seed: another seed, other samples.
        validation: draw from the held-out photographs.
        single_image: share of samples whose two views are one photograph (zero disparity).
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
        """rainy_left, rainy_right, clean_left, clean_right: (3, H, W) uint8 RGB."""
        rng = np.random.default_rng([self.seed, index])
        scene = random_scene(self.pool, self.size, rng)
        if rng.uniform() < self.single_image:
            # one photograph in both views; the depth it is given only places the drops and the veil
            depth_m = np.exp(rng.uniform(np.log(5), np.log(100)))
            flat = np.full(self.size, scene.camera.disparity(depth_m), np.float32)
            scene = Scene(scene.left, scene.left, flat, flat, scene.camera)
        scene = _recolour(scene, rng)
        rainy_left, rainy_right = random_rain(scene, rng)
        views = {
            "rainy_left": rainy_left,
            "rainy_right": rainy_right,
            "clean_left": scene.left,
            "clean_right": scene.right,
        }
        return {name: torch.from_numpy(np.ascontiguousarray(v.transpose(2, 0, 1))) for name, v in views.items()}


def random_rain(scene: Scene, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Let rain of a random kind fall in `scene`; returns the left and right view, (H, W, 3) uint8."""
    kind = rng.choice(list(KINDS), p=list(KINDS.values()))
    rainy = (scene.left, scene.right)
    if kind in ("drops", "both"):
        rain = random_shower(rng)
        pair = render_rain(*rainy, scene.left_disparity, scene.right_disparity, scene.camera, rain, rng)
        rainy = (pair.left, pair.right)
    if kind in ("streaks", "both"):
        layers = random_streaks(rng)
        rainy = (
            add_streaks(rainy[0], [streak_layer(scene.left.shape[:2], s, rng) for s in layers]),
            add_streaks(rainy[1], [streak_layer(scene.right.shape[:2], s, rng) for s in layers]),
        )
    if rng.uniform() < 0.15:
        quality = int(rng.integers(75, 98))
        rainy = (_through_jpeg(rainy[0], quality), _through_jpeg(rainy[1], quality))
    return rainy


def _through_jpeg(view: np.ndarray, quality: int) -> np.ndarray:
    encoded = cv2.imencode(".jpg", cv2.cvtColor(view, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB))


def random_shower(rng: np.random.Generator) -> Rain:
    """Draw the parameters of a shower: drizzle to cloudburst, any exposure, standing or driving."""
    return Rain(
        rate_mm_h=float(np.exp(rng.uniform(np.log(2), np.log(120)))),
        exposure_s=float(np.exp(rng.uniform(np.log(0.002), np.log(0.03)))),
        wind_mps=(rng.normal(0, 2), rng.normal(0, 1)),
        camera_mps=float(rng.choice([0.0, rng.uniform(0, 20)])),
        focus_m=float(np.exp(rng.uniform(np.log(2), np.log(30)))),
        aperture_px=rng.uniform(0, 3),
        brightness=rng.uniform(0.3, 1.1),
        veil=bool(rng.uniform() < 0.7),
        noise=float(rng.choice([0.0, rng.uniform(0, 2)])),
    )


def _recolour(scene: Scene, rng: np.random.Generator) -> Scene:
    """Vary exposure, contrast and saturation of the clean pair, alike in both views."""
    gamma, gain = float(np.exp(rng.normal(0, 0.25))), rng.uniform(0.6, 1.15)
    tone = np.clip(255 * gain * (np.arange(256) / 255) ** gamma, 0, 255).astype(np.uint8)
    grey = rng.choice([0.0, 1.0, rng.uniform()], p=[0.6, 0.1, 0.3])

    def apply(view: np.ndarray) -> np.ndarray:
        view = cv2.LUT(np.ascontiguousarray(view), tone)
        if grey:
            flat = cv2.cvtColor(cv2.cvtColor(view, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
            view = cv2.addWeighted(view, 1 - grey, flat, grey, 0)
        return view

    return Scene(apply(scene.left), apply(scene.right), scene.left_disparity, scene.right_disparity, scene.camera)
