"""Stereo scenes made of photographs: surfaces with known disparity, exact in both views.

A scene is a stack of textured layers, far to near: a background whose disparity grows towards the bottom (ground) and
across (a slanted wall), and objects in front of it, blobs, boxes and thin poles. Each layer is drawn in both views from
its own texture, so nothing has to be filled: what one view hides behind an object, the other simply shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from apanet_core.data.camera import StereoCamera
from apanet_core.data.images import IMAGE_SUFFIXES, read_image


@dataclass(frozen=True)
class Scene:
    """A clean pair: `left`, `right` (H, W, 3) uint8 RGB, their disparities (H, W) float32 px, and the camera."""

    left: np.ndarray
    right: np.ndarray
    left_disparity: np.ndarray
    right_disparity: np.ndarray
    camera: StereoCamera


class PhotoPool:
    """Photographs held in memory, to cut textures from.

    Args:
        folders: searched recursively for image files.
        held_out: every `held_out`-th photograph goes to validation.
        validation: use the held-out ones in place of the rest.

    Raises:
        FileNotFoundError: no photograph found.
    """

    def __init__(self, folders: list[Path], held_out: int = 12, validation: bool = False) -> None:
        paths = sorted(p for f in folders for p in Path(f).rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
        chosen = [p for i, p in enumerate(paths) if (i % held_out == 0) == validation]
        if not chosen:
            raise FileNotFoundError(
                f"no photographs ({', '.join(IMAGE_SUFFIXES)}) under {', '.join(map(str, folders))}"
            )
        self.photos = [read_image(p) for p in chosen]

    def texture(self, height: int, width: int, rng: np.random.Generator, detail: float | None = None) -> np.ndarray:
        """Cut a random (height, width, 3) uint8 texture; `detail` is output px per photograph px, None for random."""
        photo = self.photos[rng.integers(len(self.photos))]
        most = min(photo.shape[0] / height, photo.shape[1] / width)  # photograph px per output px
        step = min(most, float(np.exp(rng.uniform(np.log(0.8), np.log(3.0)))) if detail is None else 1 / detail)
        cut_h, cut_w = max(int(height * step), 2), max(int(width * step), 2)
        y = rng.integers(photo.shape[0] - cut_h + 1)
        x = rng.integers(photo.shape[1] - cut_w + 1)
        cut = photo[y : y + cut_h, x : x + cut_w]
        method = cv2.INTER_AREA if step > 1 else cv2.INTER_CUBIC
        cut = cv2.resize(cut, (width, height), interpolation=method)
        return cut[:, ::-1] if rng.uniform() < 0.5 else cut


def random_scene(pool: PhotoPool, size: tuple[int, int], rng: np.random.Generator) -> Scene:
    """Build a random scene of `size` (height, width) px, as a window of a larger camera image."""
    height, width = size
    focal = rng.uniform(400, 1200)
    baseline = float(np.exp(rng.uniform(np.log(0.06), np.log(0.6))))
    camera = StereoCamera(focal, baseline, cx=rng.uniform(-0.5, 1.5) * width, cy=rng.uniform(-0.5, 1.5) * height)
    farthest = min(float(camera.disparity(np.exp(rng.uniform(np.log(3), np.log(100))))), 0.25 * width)

    rows = np.arange(height, dtype=np.float32)
    horizon = rng.uniform(-0.3, 1.0) * height
    ground = rng.choice([0.0, rng.uniform(0, 0.25)]) * np.maximum(rows - horizon, 0)
    slant = rng.choice([0.0, rng.uniform(-0.08, 0.08)])
    left, left_disparity = _draw_plane(pool, size, farthest + ground, slant, rng)
    views = [left[0], left[1]]
    disparities = [left_disparity[0], left_disparity[1]]
    nearest = float(max(disparity.max() for disparity in disparities))
    for disparity in np.sort(rng.uniform(nearest, max(nearest + 4, 0.45 * width), rng.integers(0, 6))):
        _draw_object(pool, views, disparities, float(disparity), rng)
    return Scene(views[0], views[1], disparities[0], disparities[1], camera)


def _draw_plane(
    pool: PhotoPool, size: tuple[int, int], base: np.ndarray, slant: float, rng: np.random.Generator
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Background in both views; the right view's disparity is base(row) + slant * column, never below zero."""
    height, width = size
    columns = np.arange(width, dtype=np.float32)[None]
    base = (base + max(0.0, -slant * width))[:, None].astype(np.float32)
    right_disparity = np.broadcast_to(base + slant * columns, size).astype(np.float32)
    left_disparity = (base + slant * (columns - base) / (1 + slant)).astype(np.float32)
    margin = int(np.ceil(right_disparity.max())) + 2
    texture = pool.texture(height, width + margin, rng)
    rows = np.broadcast_to(np.arange(height, dtype=np.float32)[:, None], size).copy()
    right = cv2.remap(texture, columns + right_disparity, rows, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return (texture[:, :width].copy(), right), (left_disparity, right_disparity)


def _draw_object(
    pool: PhotoPool, views: list[np.ndarray], disparities: list[np.ndarray], disparity: float, rng: np.random.Generator
) -> None:
    """Paint one fronto-parallel object over both views, in place."""
    height, width = disparities[0].shape
    thin = rng.uniform() < 0.35
    object_w = int(rng.uniform(2, 10)) if thin else int(rng.uniform(0.1, 0.6) * width)
    object_h = int(rng.uniform(0.4, 1.2) * height) if thin else int(rng.uniform(0.15, 0.9) * height)
    texture = pool.texture(object_h, object_w, rng).astype(np.float32)
    alpha = _shape(object_h, object_w, rng)
    x, y = rng.uniform(-0.3, 1.0) * (width + disparity), rng.uniform(-0.3, 0.9) * height
    lean = rng.uniform(-0.3, 0.3) if thin else 0.0
    for index, shift in enumerate((0.0, disparity)):
        place = np.array([[1, lean, x - shift], [0, 1, y]], dtype=np.float32)
        mask = cv2.warpAffine(alpha, place, (width, height), flags=cv2.INTER_LINEAR)
        if mask.any():
            drawn = cv2.warpAffine(
                texture, place, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
            blend = views[index] + mask[..., None] * (drawn - views[index])
            views[index] = np.clip(np.rint(blend), 0, 255).astype(np.uint8)
            disparities[index] = np.where(mask > 0.5, np.float32(disparity), disparities[index])


def _shape(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Opacity of an object, (H, W) float32 in [0, 1]: a box, an ellipse, or a ragged blob."""
    kind = rng.integers(3)
    if kind == 0 or min(height, width) < 12:
        return np.ones((height, width), np.float32)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    radius = np.hypot(x, y)
    if kind == 2:
        rough = cv2.resize(
            rng.uniform(-0.5, 0.5, (6, 6)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC
        )
        radius = radius + rough
    return np.clip((0.9 - radius) * min(height, width) / 4, 0, 1).astype(np.float32)
