"""Stereo scenes made of photographs: surfaces with known disparity, exact in both views.

A scene is a stack of textured layers, far to near: a background whose disparity grows towards the bottom (ground) and
across (a slanted wall), and objects in front of it: blobs, boxes and thin poles. Each layer is drawn in both views from
its texture, so no hole has to be filled: a point hidden in one view is drawn in the other one. A street has its ground
in perspective up to a far horizon, and its objects stand on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from apanet_core.rain.photos import read_photos
from apanet_core.stereo.camera import StereoCamera

STREETS = 0.4  # share of the scenes


@dataclass(frozen=True)
class Scene:
    """A clean pair: `left`, `right` (H, W, 3) uint8 RGB, their disparities (H, W) float32 px, and the camera."""

    left: np.ndarray
    right: np.ndarray
    left_disparity: np.ndarray
    right_disparity: np.ndarray
    camera: StereoCamera


class PhotoPool:
    """Photographs in memory, from which textures are cut.

    Args:
        folders: searched recursively for image files.
        held_out: every `held_out`-th photograph goes to validation.
        validation: use the held-out photographs instead of the others.

    Raises:
        FileNotFoundError: no photograph was found.
    """

    def __init__(self, folders: list[Path], held_out: int = 12, validation: bool = False) -> None:
        self.photos = read_photos(folders, validation, held_out)

    def texture(self, height: int, width: int, rng: np.random.Generator, detail: float | None = None) -> np.ndarray:
        """Cut a random (height, width, 3) uint8 texture; `detail` is output px per photograph px, None: random."""
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
    """Sample a scene of `size` (height, width) px, which is a window of a larger camera image."""
    return random_street(pool, size, rng) if rng.uniform() < STREETS else random_layers(pool, size, rng)


def random_layers(pool: PhotoPool, size: tuple[int, int], rng: np.random.Generator) -> Scene:
    """Sample a scene of surfaces at any disparity, in an unrealistic order."""
    height, width = size
    focal = rng.uniform(400, 1200)
    baseline = float(np.exp(rng.uniform(np.log(0.06), np.log(0.6))))
    camera = StereoCamera(focal, baseline, cx=rng.uniform(-0.5, 1.5) * width, cy=rng.uniform(-0.5, 1.5) * height)
    farthest = min(float(camera.disparity(np.exp(rng.uniform(np.log(3), np.log(100))))), 0.25 * width)

    rows = np.arange(height, dtype=np.float32)
    horizon = rng.uniform(-0.3, 1.0) * height
    ground = rng.choice([0.0, rng.uniform(0, 0.25)]) * np.maximum(rows - horizon, 0)
    slant = rng.choice([0.0, rng.uniform(-0.08, 0.08)])
    base = farthest + ground + max(0.0, -slant * width)
    margin = _margin(base, slant, width)
    views, disparities = _draw_plane(pool.texture(height, width + margin, rng), base, slant, width)
    nearest = float(max(disparity.max() for disparity in disparities))
    for disparity in np.sort(rng.uniform(nearest, max(nearest + 4, 0.45 * width), rng.integers(0, 6))):
        thin = rng.uniform() < 0.35
        object_w = int(rng.uniform(2, 10)) if thin else int(rng.uniform(0.1, 0.6) * width)
        object_h = int(rng.uniform(0.4, 1.2) * height) if thin else int(rng.uniform(0.15, 0.9) * height)
        x, y = rng.uniform(-0.3, 1.0) * (width + disparity), rng.uniform(-0.3, 0.9) * height
        lean = rng.uniform(-0.3, 0.3) if thin else 0.0
        _draw_object(pool, views, disparities, float(disparity), (object_h, object_w), (x, y), lean, rng)
    return Scene(views[0], views[1], disparities[0], disparities[1], camera)


def random_street(pool: PhotoPool, size: tuple[int, int], rng: np.random.Generator) -> Scene:
    """Sample a scene with ground in perspective up to a far backdrop, and objects of real sizes that stand on it."""
    height, width = size
    focal = rng.uniform(400, 1200)
    baseline = float(np.exp(rng.uniform(np.log(0.06), np.log(0.6))))
    horizon = rng.uniform(-0.1, 0.8) * height
    camera = StereoCamera(focal, baseline, cx=rng.uniform(-0.5, 1.5) * width, cy=horizon)
    above_ground_m = rng.uniform(1.0, 2.5)
    backdrop = float(camera.disparity(np.exp(rng.uniform(np.log(60), np.log(500)))))
    rows = np.arange(height, dtype=np.float32) + 0.5
    # A ground point at depth Z is seen focal * above_ground / Z below the horizon, so its disparity grows with the row.
    base = np.maximum(backdrop, (rows - horizon) * baseline / above_ground_m)
    wide = width + _margin(base, 0.0, width)
    texture = pool.texture(height, wide, rng)
    ground = base > backdrop
    if ground.any():  # otherwise the window is above the ground
        seen = focal, camera.cx, above_ground_m
        texture[ground] = _ground(pool, rows[ground] - horizon, wide, seen, rng)
    views, disparities = _draw_plane(texture, base, 0.0, width)

    nearest_m = max(3.0, float(camera.depth(np.asarray(0.45 * width))))
    farthest_m = max(0.9 * float(camera.depth(np.asarray(backdrop))), nearest_m)
    for depth_m in np.sort(np.exp(rng.uniform(np.log(nearest_m), np.log(farthest_m), rng.integers(0, 8))))[::-1]:
        thin = rng.uniform() < 0.4
        size_m = (rng.uniform(2, 7), rng.uniform(0.05, 0.3)) if thin else (rng.uniform(0.5, 4), rng.uniform(0.4, 5))
        foot = horizon + focal * above_ground_m / depth_m
        object_h, object_w = (max(int(focal * side / depth_m), 2) for side in size_m)
        # parts beyond the window are not drawn
        object_h, object_w = min(object_h, int(max(foot, 0)) + 2), min(object_w, 2 * width)
        disparity = float(camera.disparity(depth_m))
        place = rng.uniform(0, width + disparity) - object_w / 2, foot - object_h
        _draw_object(pool, views, disparities, disparity, (object_h, object_w), place, 0.0, rng)
    return Scene(views[0], views[1], disparities[0], disparities[1], camera)


def _ground(
    pool: PhotoPool, below_horizon: np.ndarray, width: int, seen: tuple[float, float, float], rng: np.random.Generator
) -> np.ndarray:
    """Draw a photograph on the ground, (rows, width, 3) uint8, `seen` at a focal length, cx (px) and height (m)."""
    focal, cx, above_ground_m = seen
    photo = pool.photos[rng.integers(len(pool.photos))]
    per_m = float(np.exp(rng.uniform(np.log(8), np.log(60))))  # px of the photograph
    depth_m = (focal * above_ground_m / below_horizon)[:, None]
    columns = per_m * (np.arange(width)[None] + 0.5 - cx) * depth_m / focal
    rows = np.broadcast_to(per_m * depth_m, columns.shape)
    laid = cv2.remap(
        photo, columns.astype(np.float32), rows.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    # Far rows skip pixels of the photograph; fade them to its mean, as a camera would.
    step = per_m * depth_m**2 / (focal * above_ground_m)
    keep = np.clip(2 / step, 0, 1)[..., None]
    return np.rint(keep * laid + (1 - keep) * photo[::8, ::8].mean(axis=(0, 1))).astype(np.uint8)


def _margin(base: np.ndarray, slant: float, width: int) -> int:
    """Return the number of columns that a background's texture needs in addition to the width of a view."""
    return int(np.ceil(np.max(base) + max(0.0, slant * width))) + 2


def _draw_plane(
    texture: np.ndarray, base: np.ndarray, slant: float, width: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Draw a background; return both views and their disparities, in the right one base(row) + slant * column."""
    size = texture.shape[0], width
    columns = np.arange(width, dtype=np.float32)[None]
    base = base[:, None].astype(np.float32)
    right_disparity = np.broadcast_to(base + slant * columns, size).astype(np.float32)
    left_disparity = np.broadcast_to(base + slant * (columns - base) / (1 + slant), size).astype(np.float32)
    rows = np.broadcast_to(np.arange(size[0], dtype=np.float32)[:, None], size).copy()
    right = cv2.remap(texture, columns + right_disparity, rows, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return [texture[:, :width].copy(), right], [left_disparity, right_disparity]


def _draw_object(
    pool: PhotoPool,
    views: list[np.ndarray],
    disparities: list[np.ndarray],
    disparity: float,
    size: tuple[int, int],
    place: tuple[float, float],
    lean: float,
    rng: np.random.Generator,
) -> None:
    """Draw one fronto-parallel object over both views, in place.

    Args:
        pool: source of its texture.
        views: left and right view, (H, W, 3) uint8.
        disparities: disparities of the left and right view, (H, W) px.
        disparity: disparity of the object, px.
        size: (height, width) of the object in px.
        place: column and row of its upper left corner in the left view.
        lean: columns per row.
        rng: random numbers.
    """
    height, width = disparities[0].shape
    texture = pool.texture(*size, rng).astype(np.float32)
    alpha = _shape(*size, rng)
    for index, shift in enumerate((0.0, disparity)):
        matrix = np.array([[1, lean, place[0] - shift], [0, 1, place[1]]], dtype=np.float32)
        mask = cv2.warpAffine(alpha, matrix, (width, height), flags=cv2.INTER_LINEAR)
        if mask.any():
            drawn = cv2.warpAffine(
                texture, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
            blend = views[index] + mask[..., None] * (drawn - views[index])
            views[index] = np.clip(np.rint(blend), 0, 255).astype(np.uint8)
            disparities[index] = np.where(mask > 0.5, np.float32(disparity), disparities[index])


def _shape(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Sample the opacity of an object, (H, W) float32 in [0, 1]: a box, an ellipse, or a ragged blob."""
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
