"""Falling rain in a stereo pair: the same drops, in three dimensions, seen by both cameras.

Sources: drop sizes Marshall & Palmer 1948, fall speed Atlas et al. 1973, streak appearance Garg & Nayar 2006/2007,
veil Weber et al. 2015, colour Halder et al. 2019.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apanet_core.data.camera import StereoCamera

SMALLEST_DROP_MM = 0.5  # smaller ones are mist: they are in the veil
NARROWEST_STREAK_PX = 0.2  # thinner streaks lie under the noise of an 8-bit camera
NEAREST_DROP_M = 0.25
FARTHEST_DROP_M = 30.0
DROP_CROSSING_S = np.sqrt(1.16e-3) / 50  # t0 of Garg & Nayar: how long a 1.16 mm drop stays on its own width
FARTHEST_SCENE_M = 1000.0


@dataclass(frozen=True)
class Rain:
    """One shower.

    Args:
        rate_mm_h: rain rate; 0 is dry, 10 moderate, 50 heavy, 100 a cloudburst.
        exposure_s: exposure time of the camera.
        wind_mps: velocity of the air, X (right) and Z (forward).
        camera_mps: velocity of the camera along its axis; forward motion makes the streaks radial.
        focus_m: distance in focus.
        aperture_px: diameter of the blur of a point infinitely far behind a focus at 1 m; 0 for a pinhole.
        brightness: scales the light that drops add; 1 is the model of Garg & Nayar.
        veil: whether distant drops veil the scene.
        noise: standard deviation of the sensor noise on the 8-bit scale.
    """

    rate_mm_h: float
    exposure_s: float = 0.01
    wind_mps: tuple[float, float] = (0.0, 0.0)
    camera_mps: float = 0.0
    focus_m: float = 10.0
    aperture_px: float = 1.5
    brightness: float = 1.0
    veil: bool = True
    noise: float = 0.0

    def __post_init__(self) -> None:
        if self.rate_mm_h < 0 or self.exposure_s <= 0:
            raise ValueError(
                f"rain needs a rate >= 0 mm/h and an exposure > 0 s: got {self.rate_mm_h}, {self.exposure_s}"
            )

    @property
    def size_slope_per_mm(self) -> float:
        """Lambda of the Marshall-Palmer distribution N(D) = 8000 exp(-Lambda D) per m^3 and mm."""
        return float(4.1 * self.rate_mm_h**-0.21)

    @property
    def extinction_per_m(self) -> float:
        """Loss of contrast of the veil, beta = 0.312 R^0.67 per km."""
        return float(0.312e-3 * self.rate_mm_h**0.67)


@dataclass(frozen=True)
class Drops:
    """N drops at the start of the exposure: `start` and `end` (N, 3) in metres, `diameter_m` (N,)."""

    start: np.ndarray
    end: np.ndarray
    diameter_m: np.ndarray


@dataclass(frozen=True)
class RainyPair:
    """`left`, `right`: (H, W, 3) uint8 RGB; `left_mask`, `right_mask`: (H, W) bool, True where a streak is seen."""

    left: np.ndarray
    right: np.ndarray
    left_mask: np.ndarray
    right_mask: np.ndarray


def sample_drops(camera: StereoCamera, size: tuple[int, int], rain: Rain, rng: np.random.Generator) -> Drops:
    """Draw the drops that either camera can see.

    A drop at depth Z is drawn when it is wider than `NARROWEST_STREAK_PX`, so the density of drops over depth is
    ``Z^2 exp(-Lambda D_min(Z))``, and the size beyond ``D_min(Z)`` is exponential.

    Args:
        camera: geometry.
        size: (height, width) of a view in px.
        rain: the shower.
        rng: source of randomness.

    Returns:
        The drops, in the left camera's frame.
    """
    height, width = size
    if rain.rate_mm_h == 0:
        return Drops(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0))
    slope = rain.size_slope_per_mm
    depth = np.geomspace(NEAREST_DROP_M, FARTHEST_DROP_M, 256)
    smallest_mm = np.maximum(SMALLEST_DROP_MM, 1e3 * NARROWEST_STREAK_PX * depth / camera.focal_px)
    # The frustum is widened by the path of the fastest drop, so that streaks enter from outside.
    path_m = 10.0 * rain.exposure_s
    right_edge_m = camera.baseline_m - (camera.cx + camera.disparity_offset) * depth / camera.focal_px
    x_min = np.minimum(-camera.cx * depth / camera.focal_px, right_edge_m) - path_m
    x_max = (
        (width - min(camera.cx, camera.cx + camera.disparity_offset)) * depth / camera.focal_px
        + camera.baseline_m
        + path_m
    )
    y_min, y_max = -camera.cy * depth / camera.focal_px - path_m, (height - camera.cy) * depth / camera.focal_px
    per_m = (x_max - x_min) * (y_max - y_min) * 8000 / slope * np.exp(-slope * smallest_mm)
    cumulative = np.concatenate([[0.0], np.cumsum(np.diff(depth) * (per_m[1:] + per_m[:-1]) / 2)])
    count = rng.poisson(cumulative[-1])

    z = np.interp(rng.uniform(0, cumulative[-1], count), cumulative, depth)
    x = rng.uniform(size=count) * np.interp(z, depth, x_max - x_min) + np.interp(z, depth, x_min)
    y = rng.uniform(size=count) * np.interp(z, depth, y_max - y_min) + np.interp(z, depth, y_min)
    diameter_mm = np.minimum(np.interp(z, depth, smallest_mm) + rng.exponential(1 / slope, count), 6.0)
    fall_mps = np.maximum(9.65 - 10.3 * np.exp(-0.6 * diameter_mm), 0.1)
    velocity = np.stack(
        [np.full(count, rain.wind_mps[0]), fall_mps, np.full(count, rain.wind_mps[1] - rain.camera_mps)], axis=1
    )
    start = np.stack([x, y, z], axis=1)
    return Drops(start, start + velocity * rain.exposure_s, diameter_mm * 1e-3)


def streak_time(drops: Drops, camera: StereoCamera, rain: Rain, disparity: np.ndarray, right: bool) -> np.ndarray:
    """How long, in seconds, every pixel of one view was covered by drops: (H, W) float32.

    Every streak is a parallelogram filled with samples about a pixel apart; a sample is dropped where the scene is
    nearer than the drop, and shared between its four nearest pixels.

    Args:
        drops: what to draw.
        camera: geometry.
        rain: exposure and focus.
        disparity: (H, W) scene disparity of this view in px.
        right: draw the right view, not the left.

    Returns:
        Covered time per pixel, at most the exposure.
    """
    height, width = disparity.shape
    z0, z1 = np.maximum(drops.start[:, 2], 0.05), np.maximum(drops.end[:, 2], 0.05)
    shift0, shift1 = (camera.disparity(z0), camera.disparity(z1)) if right else (0.0, 0.0)
    u0 = camera.focal_px * drops.start[:, 0] / z0 + camera.cx - shift0
    u1 = camera.focal_px * drops.end[:, 0] / z1 + camera.cx - shift1
    v0 = camera.focal_px * drops.start[:, 1] / z0 + camera.cy
    v1 = camera.focal_px * drops.end[:, 1] / z1 + camera.cy
    seen = (
        (np.maximum(u0, u1) > 0)
        & (np.minimum(u0, u1) < width)
        & (np.maximum(v0, v1) > 0)
        & (np.minimum(v0, v1) < height)
    )
    u0, u1, v0, v1, z0, diameter = (a[seen] for a in (u0, u1, v0, v1, z0, drops.diameter_m))

    drop_px = camera.focal_px * diameter / z0
    length_px = np.maximum(np.hypot(u1 - u0, v1 - v0), 1e-3)
    blur_px = rain.aperture_px * np.abs(1 / z0 - 1 / rain.focus_m)
    wide_px = np.hypot(drop_px, blur_px)
    covered_s = rain.exposure_s * drop_px / (length_px + drop_px)  # by a drop passing over one of its pixels
    along = np.minimum(np.ceil(length_px + wide_px), 4 * height).astype(np.int64)
    across = np.minimum(np.ceil(wide_px), 64).astype(np.int64)
    samples = along * across
    mass = (covered_s * drop_px * (length_px + drop_px) / samples).astype(np.float32)

    streak = np.repeat(np.arange(samples.size), samples)
    number = np.arange(streak.size) - np.repeat(np.cumsum(samples) - samples, samples)
    t = (number // across[streak] + 0.5) / along[streak]
    s = ((number % across[streak] + 0.5) / across[streak] - 0.5) * wide_px[streak]
    stretch = 1 + wide_px / length_px  # the ends of a wide streak are round: lengthen it by its width
    t = (t - 0.5) * stretch[streak] + 0.5
    du, dv = (u1 - u0), (v1 - v0)
    u = (u0[streak] + t * du[streak] - s * (dv / length_px)[streak] - 0.5).astype(np.float32)
    v = (v0[streak] + t * dv[streak] + s * (du / length_px)[streak] - 0.5).astype(np.float32)

    column, row = np.floor(u).astype(np.int64), np.floor(v).astype(np.int64)
    inside = (column >= -1) & (column < width) & (row >= -1) & (row < height)
    nearest = np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)
    inside &= camera.disparity(z0)[streak] > disparity[nearest]
    column, row, streak = column[inside] + 1, row[inside] + 1, streak[inside]
    fu, fv, weight = u[inside] - column + 1, v[inside] - row + 1, mass[streak]
    canvas = np.zeros((height + 2) * (width + 2))  # a border of one pixel takes what falls outside
    for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
        share = weight * (fv if i else 1 - fv) * (fu if j else 1 - fu)
        canvas += np.bincount((row + i) * (width + 2) + column + j, share, canvas.size)
    return np.minimum(canvas.reshape(height + 2, width + 2)[1:-1, 1:-1], rain.exposure_s).astype(np.float32)


def render_rain(
    left: np.ndarray,
    right: np.ndarray,
    left_disparity: np.ndarray,
    right_disparity: np.ndarray,
    camera: StereoCamera,
    rain: Rain,
    rng: np.random.Generator,
) -> RainyPair:
    """Let rain fall in a clean rectified pair.

    Args:
        left: (H, W, 3) uint8 RGB.
        right: as `left`.
        left_disparity: (H, W) px of the left view; where unknown, use a background value.
        right_disparity: (H, W) px of the right view.
        camera: geometry in px of these images.
        rain: the shower; at rate 0 and without noise the pair comes back unchanged.
        rng: one seed, one rain.

    Returns:
        The rainy pair with its streak masks.
    """
    drops = sample_drops(camera, left.shape[:2], rain, rng)
    scene = [to_linear(left), to_linear(right)]
    field = np.mean([view.mean(axis=(0, 1)) for view in scene], axis=0)
    sky = np.mean([np.percentile(view, 98, axis=(0, 1)) for view in scene], axis=0)
    drop_colour = rain.brightness * (
        0.94 * field + 0.06 * sky
    )  # a drop is a fish-eye lens: it shows the average of what is around it
    views, masks = [], []
    for view, disparity, is_right in zip(scene, (left_disparity, right_disparity), (False, True)):
        if rain.veil and rain.rate_mm_h > 0:
            depth = np.minimum(camera.depth(disparity), FARTHEST_SCENE_M)
            through = np.exp(-rain.extinction_per_m * depth).astype(np.float32)[..., None]
            view = view * through + (0.5 * (field + sky)).astype(np.float32) * (1 - through)
        covered = streak_time(drops, camera, rain, disparity, is_right)[..., None]
        view = view * (1 - covered / rain.exposure_s) + drop_colour.astype(np.float32) * (covered / DROP_CROSSING_S)
        eight_bit = to_srgb(view)
        if rain.noise:
            eight_bit = eight_bit + rng.normal(0, rain.noise, eight_bit.shape)
        views.append(np.clip(np.rint(eight_bit), 0, 255).astype(np.uint8))
        masks.append(covered[..., 0] > 0.02 * DROP_CROSSING_S)
    return RainyPair(views[0], views[1], masks[0], masks[1])


def to_linear(image: np.ndarray) -> np.ndarray:
    """sRGB uint8 -> linear light float32 in [0, 1]."""
    return _LINEAR[image]


def to_srgb(light: np.ndarray) -> np.ndarray:
    """Linear light -> the sRGB scale, float32 in [0, 255], not rounded."""
    index = np.clip(light, 0, 1) ** 0.5 * (len(_SRGB) - 1)  # the square root spreads the steep dark end
    return _SRGB[np.rint(index).astype(np.int32)]


_CODE = np.arange(256) / 255
_LINEAR = np.where(_CODE <= 0.04045, _CODE / 12.92, ((_CODE + 0.055) / 1.055) ** 2.4).astype(np.float32)
_LIGHT = np.linspace(0, 1, 1 << 14) ** 2
_SRGB = (255 * np.where(_LIGHT <= 0.0031308, 12.92 * _LIGHT, 1.055 * _LIGHT ** (1 / 2.4) - 0.055)).astype(np.float32)
