"""Falling drops as segments in space, and their streaks in either view of a stereo camera.

Sources: drop sizes Marshall & Palmer 1948, fall speed Atlas et al. 1973, streak appearance Garg & Nayar 2006/2007.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apanet_core.stereo.camera import StereoCamera

SMALLEST_DROP_MM = 0.5  # smaller drops are mist, which the veil stands for
NARROWEST_STREAK_PX = 0.2  # thinner streaks are below the noise of an 8-bit camera
NEAREST_DROP_M = 0.25
FARTHEST_DROP_M = 30.0
SAMPLES_AT_ONCE = 1 << 14  # fits into the cache of a core


@dataclass(frozen=True)
class Rain:
    """A shower.

    Args:
        rate_mm_h: rain rate; 0 is dry, 10 moderate, 50 heavy, 100 a cloudburst.
        exposure_s: exposure time of the camera.
        wind_mps: velocity of the air, X (right) and Z (forward).
        camera_mps: velocity of the camera along its axis; forward motion makes the streaks radial.
        focus_m: distance in focus.
        aperture_px: diameter of the blur of an infinitely far point with the focus at 1 m; 0 for a pinhole.
        brightness: factor of the light that drops add; 1 is the model of Garg & Nayar.
        veil: whether distant drops veil the scene.
        veil_brightness: factor of the light of the veil, which is estimated from the images: they may show a darker or
            brighter part of the surroundings.
    """

    rate_mm_h: float
    exposure_s: float = 0.01
    wind_mps: tuple[float, float] = (0.0, 0.0)
    camera_mps: float = 0.0
    focus_m: float = 10.0
    aperture_px: float = 1.5
    brightness: float = 1.0
    veil: bool = True
    veil_brightness: float = 1.0

    def __post_init__(self) -> None:
        if not self.rate_mm_h >= 0 or not self.exposure_s > 0:
            raise ValueError(
                f"rain needs a rate >= 0 mm/h and an exposure > 0 s: got {self.rate_mm_h}, {self.exposure_s}"
            )
        if not (self.focus_m > 0 and min(self.aperture_px, self.brightness, self.veil_brightness) >= 0):
            raise ValueError(
                "rain needs focus_m > 0, aperture_px, brightness and veil_brightness >= 0: got "
                f"{self.focus_m}, {self.aperture_px}, {self.brightness}, {self.veil_brightness}"
            )

    @property
    def size_slope_per_mm(self) -> float:
        """Return Lambda of the Marshall-Palmer distribution N(D) = 8000 exp(-Lambda D) per m^3 and mm."""
        return float(4.1 * self.rate_mm_h**-0.21)

    @property
    def extinction_per_m(self) -> float:
        """Return the extinction coefficient of the veil, beta = 0.312 R^0.67 per km, in 1/m."""
        return float(0.312e-3 * self.rate_mm_h**0.67)


@dataclass(frozen=True)
class Drops:
    """N drops at the start of the exposure: `start` and `end` (N, 3) in metres, `diameter_m` (N,)."""

    start: np.ndarray
    end: np.ndarray
    diameter_m: np.ndarray


def sample_drops(camera: StereoCamera, size: tuple[int, int], rain: Rain, rng: np.random.Generator) -> Drops:
    """Sample the drops that at least one camera can see.

    A drop at depth Z is sampled if it is wider than `NARROWEST_STREAK_PX`, so the density of drops over depth is
    ``Z^2 exp(-Lambda D_min(Z))``, and the size beyond ``D_min(Z)`` is exponential.

    Args:
        camera: geometry.
        size: (height, width) of a view in px.
        rain: the shower.
        rng: random numbers.

    Returns:
        The drops, in the left camera's frame.
    """
    height, width = size
    if rain.rate_mm_h == 0:
        return Drops(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0))
    slope = rain.size_slope_per_mm
    # The frustum is widened, but not downwards, by the path of the fastest drop: streaks enter from outside.
    path_m = 10.0 * rain.exposure_s

    def region(depth: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return, at a depth, left edge, width, top edge and height of the visible region in m, smallest drop in mm."""
        metre = depth / camera.focal_px  # per px
        cx_right = camera.cx + camera.disparity_offset
        left_edge = np.minimum(-camera.cx * metre, camera.baseline_m - cx_right * metre) - path_m
        right_edge = (width - min(camera.cx, cx_right)) * metre + camera.baseline_m + path_m
        smallest_mm = np.maximum(SMALLEST_DROP_MM, 1e3 * NARROWEST_STREAK_PX * metre)
        return left_edge, right_edge - left_edge, -camera.cy * metre - path_m, height * metre + path_m, smallest_mm

    depth = np.geomspace(NEAREST_DROP_M, FARTHEST_DROP_M, 256)
    _, across, _, down, smallest_mm = region(depth)
    per_m = across * down * 8000 / slope * np.exp(-slope * smallest_mm)
    cumulative = np.concatenate([[0.0], np.cumsum(np.diff(depth) * (per_m[1:] + per_m[:-1]) / 2)])
    count = rng.poisson(cumulative[-1])

    z = np.interp(rng.uniform(0, cumulative[-1], count), cumulative, depth)
    left_edge, across, top_edge, down, smallest_mm = region(z)
    x = rng.uniform(size=count) * across + left_edge
    y = rng.uniform(size=count) * down + top_edge
    diameter_mm = np.minimum(smallest_mm + rng.exponential(1 / slope, count), 6.0)
    fall_mps = np.maximum(9.65 - 10.3 * np.exp(-0.6 * diameter_mm), 0.1)
    velocity = np.stack(
        [np.full(count, rain.wind_mps[0]), fall_mps, np.full(count, rain.wind_mps[1] - rain.camera_mps)], axis=1
    )
    start = np.stack([x, y, z], axis=1)
    return Drops(start, start + velocity * rain.exposure_s, diameter_mm * 1e-3)


def coverage_time_s(drops: Drops, camera: StereoCamera, rain: Rain, disparity: np.ndarray, right: bool) -> np.ndarray:
    """Return the time in seconds for which drops cover every pixel of a view: (H, W) float32.

    Every streak is a parallelogram filled with samples about a pixel apart. A sample is dropped where the scene is
    nearer than the drop, otherwise shared between its four nearest pixels.

    Args:
        drops: the drops, in the left camera's frame.
        camera: geometry.
        rain: exposure and focus.
        disparity: (H, W) scene disparity of this view in px.
        right: render the right view instead of the left one.

    Returns:
        Time per pixel, at most the exposure.
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
    du, dv = u1 - u0, v1 - v0
    length_px = np.maximum(np.hypot(du, dv), 1e-3)
    blur_px = rain.aperture_px * np.abs(1 / z0 - 1 / rain.focus_m)
    wide_px = np.hypot(drop_px, blur_px)
    covered_s = rain.exposure_s * drop_px / (length_px + drop_px)  # time for which a drop covers a pixel on its path
    along = np.minimum(np.ceil(length_px + wide_px), 4 * height).astype(np.int32)
    across = np.minimum(np.ceil(wide_px), 64).astype(np.int32)
    mass = covered_s * drop_px * (length_px + drop_px) / (along * across)
    # One line of samples runs along the streak; a wide streak has several, side by side.
    streak = np.repeat(np.arange(across.size), across)
    side = np.arange(streak.size) - np.repeat(np.cumsum(across) - across, across)
    side = ((side + 0.5) / across[streak] - 0.5) * (wide_px / length_px)[streak]
    stretch = 1 + wide_px / length_px  # the ends of a wide streak are round: lengthen it by its width
    step_u, step_v = du * stretch / along, dv * stretch / along
    first_u, first_v = u0 - du * (stretch - 1) / 2 + step_u / 2, v0 - dv * (stretch - 1) / 2 + step_v / 2
    return _splat_samples(
        (first_u[streak] - side * dv[streak], first_v[streak] + side * du[streak]),
        (step_u[streak], step_v[streak]),
        along[streak],
        mass[streak],
        camera.disparity(z0)[streak],
        disparity,
    ).clip(max=rain.exposure_s)


def _splat_samples(
    first: tuple[np.ndarray, np.ndarray],
    step: tuple[np.ndarray, np.ndarray],
    count: np.ndarray,
    mass: np.ndarray,
    drop_disparity: np.ndarray,
    disparity: np.ndarray,
) -> np.ndarray:
    """Sum lines of samples, each shared between its four nearest pixels.

    Args:
        first: column and row of the first sample of every line, (N,) px, 0 at the border of the image.
        step: column and row from one sample to the next, (N,) px.
        count: number of samples of every line.
        mass: value of each sample of a line, (N,).
        drop_disparity: disparity of every line, (N,) px; it is hidden where the scene's is not smaller.
        disparity: (H, W) px of the scene.

    Returns:
        (H, W) float32.
    """
    height, width = disparity.shape
    first_u, first_v = ((start + 0.5).astype(np.float32) for start in first)  # 0 at the border, 0.5 on pixel 0
    step_u, step_v = (stride.astype(np.float32) for stride in step)
    mass, drop_disparity = mass.astype(np.float32), drop_disparity.astype(np.float32)
    bordered = np.pad(disparity.astype(np.float32), 1, mode="edge").reshape(-1)  # the border takes samples outside
    corners: list[np.ndarray] = [np.zeros(0, np.int32)]
    shares: list[np.ndarray] = [np.zeros((4, 0), np.float32)]
    ends = np.cumsum(count)
    blocks = np.searchsorted(ends, np.arange(0, ends[-1] if ends.size else 0, SAMPLES_AT_ONCE))
    for begin, end in zip(blocks, [*blocks[1:], count.size]):
        some = slice(begin, end)
        line = np.repeat(np.arange(begin, end, dtype=np.int32), count[some])
        offset = (ends[some] - count[some] - (ends[begin] - count[begin])).astype(np.int32)
        number = np.arange(line.size, dtype=np.int32) - np.repeat(offset, count[some])
        u = first_u[line] + number * step_u[line]
        v = first_v[line] + number * step_v[line]
        column, row = np.floor(u).astype(np.int32), np.floor(v).astype(np.int32)
        corner = row * np.int32(width + 2) + column
        shown = (u >= 0) & (u < width + 1) & (v >= 0) & (v < height + 1)
        shown &= drop_disparity[line] > bordered.take(corner, mode="clip")
        shown = np.flatnonzero(shown)
        weight = mass[line[shown]]
        right, below = (u - column)[shown], (v - row)[shown]
        lower = weight * below
        upper, lower_right = weight - lower, lower * right
        upper_right = upper * right
        corners.append(corner[shown])
        shares.append(np.stack([upper - upper_right, upper_right, lower - lower_right, lower_right]))
    corner, share = np.concatenate(corners), np.concatenate(shares, axis=1)
    canvas = np.zeros((height + 2) * (width + 2))
    for offset, part in zip((0, 1, width + 2, width + 3), share):
        canvas[offset:] += np.bincount(corner, part, canvas.size)[: canvas.size - offset]
    return canvas.reshape(height + 2, width + 2)[1:-1, 1:-1].astype(np.float32)
