"""Falling drops in space, the same in both views.

Sources: drop sizes Marshall & Palmer 1948, fall speed Atlas et al. 1973, streak appearance Garg & Nayar 2006/2007,
colour Halder et al. 2019.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch.nn import functional as F

from apanet_core.rain.counter_random import CounterRandom
from apanet_core.rain.light import to_linear, to_srgb
from apanet_core.rain.records import Number, numbered, power, with_dims
from apanet_core.rain.scenes import Cameras, Scenes
from apanet_core.rain.splashes import splash
from apanet_core.rain.splat import Segments, draw_segments
from apanet_core.rain.veil import transmission

SMALLEST_DROP_MM = 0.5  # smaller drops are mist, which the veil stands for
NARROWEST_STREAK_PX = 0.2  # thinner streaks are below the noise of an 8-bit camera
NEAREST_DROP_M, FARTHEST_DROP_M = 0.2, 30.0
MOST_DROPS = 0.3  # per px; in a denser shower, each drop gets more light
DROP_CROSSING_S = math.sqrt(1.16e-3) / 50  # t0 of Garg & Nayar: a 1.16 mm drop passing over its own width
VISIBLE_STREAK = 0.1  # light that a streak must add to count as visible, as a share of the surrounding light
DEPTHS = 128  # of the table from which depths of drops are drawn
FINE = 1 << 26  # steps of that table


@dataclass(frozen=True)
class Rain:
    """A shower; every value is a number, or a tensor (B,) with one for each sample.

    Args:
        rate_mm_h: rain rate; 0 is dry, 10 moderate, 50 heavy, 100 a cloudburst.
        exposure_s: exposure time of the camera.
        wind_mps: wind to the right.
        camera_mps: speed of the camera along its axis, relative to the air; forward motion makes the streaks radial.
        focus_m: distance in focus.
        aperture_px: diameter of the blur of an infinitely far point with the focus at 1 m; 0 for a pinhole.
        brightness: factor of the light that drops add; 1 is the model of Garg & Nayar.
        veil: share of the extinction by distant drops, 0.312 R^0.67 per km, that the scene shows; True or False too.
        mist_per_m: further extinction; a visibility of V metres is 3.9 / V.
        swathes: unevenness of the veil, 0 to 1.
        airlight: factor of the light of the veil, which is estimated from the views.
        grey: share of the light of the veil that has no colour.
        glow: share of the light of veil and drops that comes from their surroundings in the view, such as a lamp.
        splashes: factor of the number of splashes on the ground.
        spray_per_m: extinction of spray right above the ground, on average.

    Raises:
        ValueError: a number is out of its range.
    """

    rate_mm_h: Number
    exposure_s: Number = 0.01
    wind_mps: Number = 0.0
    camera_mps: Number = 0.0
    focus_m: Number = 10.0
    aperture_px: Number = 1.5
    brightness: Number = 1.0
    veil: Number = 1.0
    mist_per_m: Number = 0.0
    swathes: Number = 0.0
    airlight: Number = 1.0
    grey: Number = 0.0
    glow: Number = 0.0
    splashes: Number = 0.0
    spray_per_m: Number = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.rate_mm_h, torch.Tensor):
            return  # drawn, and a look at it would wait for the device
        if not 0 <= self.rate_mm_h <= 1000 or not 0 < self.exposure_s <= 10:
            raise ValueError(
                "rain needs a rate from 0 to 1000 mm/h, and an exposure above 0 and up to 10 s: got "
                f"{self.rate_mm_h}, {self.exposure_s}"
            )
        names = (
            "aperture_px",
            "brightness",
            "veil",
            "mist_per_m",
            "airlight",
            "grey",
            "glow",
            "splashes",
            "spray_per_m",
        )
        others = {name: getattr(self, name) for name in names}
        if not self.focus_m > 0 or not all(value >= 0 for value in others.values()):
            raise ValueError(f"rain needs focus_m > 0 and {', '.join(others)} >= 0: got {self.focus_m}, {others}")
        if not (
            0 <= self.swathes <= 1
            and max(self.glow, self.grey) <= 1
            and all(abs(speed) <= 100 for speed in (self.wind_mps, self.camera_mps))
        ):
            raise ValueError(
                "rain needs swathes, grey and glow in [0, 1], and wind_mps and camera_mps from -100 to 100: got "
                f"{self.swathes}, {self.grey}, {self.glow}, {self.wind_mps}, {self.camera_mps}"
            )

    @property
    def size_slope_per_mm(self) -> Number:
        """Return Lambda of the Marshall-Palmer distribution N(D) = 8000 exp(-Lambda D) per m^3 and mm."""
        return 4.1 * power(self.rate_mm_h, -0.21)

    @property
    def extinction_per_m(self) -> Number:
        """Return the extinction coefficient of the veil."""
        return self.veil * 0.312e-3 * power(self.rate_mm_h, 0.67) + self.mist_per_m


class Drops(NamedTuple):
    """N drops of a batch: their sample, number in it, position (3, N) at either end of the exposure, and diameter."""

    sample: torch.Tensor  # (N,) int64
    start_m: torch.Tensor  # x, y, z in the left camera's frame
    end_m: torch.Tensor
    diameter_mm: torch.Tensor  # (N,)
    weight: torch.Tensor  # (N,), above 1 if drops stand for others that are left out


def fall(scenes: Scenes, rain: Rain, random: CounterRandom) -> tuple[torch.Tensor, torch.Tensor]:
    """Render showers over scenes.

    Args:
        scenes: B clean pairs of whole numbers.
        rain: tensors (B,), rates above 0.
        random: random numbers of the samples.

    Returns:
        The rainy views (B, 2, 3, H, W), not rounded, and the pixels with a visible streak, (B, 2, H, W) bool.
    """
    drops = draw_drops(scenes.cameras, scenes.size, rain, random)
    covered = coverage_s(drops, scenes.cameras, rain, scenes.disparity)
    light = to_linear(scenes.views)
    small = light[..., ::4, ::4].transpose(1, 2).flatten(2)
    field, sky = (
        small.mean(-1, dtype=torch.float64).float(),
        small.kthvalue(max(1, round(0.98 * small.shape[-1])), dim=-1).values,
    )
    # a drop is a fish-eye lens, which shows the average light of its surroundings
    drop = 0.94 * field + 0.06 * sky
    clear = transmission(scenes, rain.extinction_per_m, rain.swathes, rain.spray_per_m, random)
    free = 1 - covered / with_dims(rain.exposure_s, 4)
    veil = ((1 - clear) * free).mul_(with_dims(rain.airlight, 4))
    streaks = covered * with_dims(rain.brightness / DROP_CROSSING_S, 4)
    air = 0.5 * (field + sky)
    added = _lit(veil, torch.lerp(air, air.mean(1, keepdim=True), rain.grey[:, None]))
    added.addcmul_(streaks[:, :, None], drop[:, None, :, None, None])
    rows = (rain.glow > 0).nonzero()[:, 0]
    if len(rows):
        around = _surroundings(light.index_select(0, rows)) * (veil + streaks).index_select(0, rows)[:, :, None]
        glow = with_dims(rain.glow.index_select(0, rows), 5)
        added.index_copy_(0, rows, torch.lerp(added.index_select(0, rows), around, glow))
    light = added.addcmul_(light, clear.mul_(free)[:, :, None])
    visible = covered > VISIBLE_STREAK * DROP_CROSSING_S
    rows = (rain.splashes > 0).nonzero()[:, 0]
    if len(rows):
        rate, amount = rain.rate_mm_h.index_select(0, rows), rain.splashes.index_select(0, rows)
        share = torch.zeros_like(covered)
        share[rows] = splash(scenes.of(rows), rate, amount, random.of(rows))
        light = torch.addcmul(_lit(share, rain.brightness[:, None] * drop), light, (1 - share)[:, :, None])
        visible |= share > VISIBLE_STREAK
    return to_srgb(light), visible


def draw_drops(cameras: Cameras, size: tuple[int, int], rain: Rain, random: CounterRandom) -> Drops:
    """Sample the drops that at least one camera can see.

    A drop at depth Z is sampled if it is wider than `NARROWEST_STREAK_PX`, so the density of drops over depth is
    ``Z^2 exp(-Lambda D_min(Z))``, and the size beyond ``D_min(Z)`` is exponential.

    Args:
        cameras: geometry, (B,) each.
        size: (height, width) of a view in px.
        rain: tensors (B,), rates above 0.
        random: random numbers of the samples.

    Returns:
        The drops.
    """
    height, width = size
    slope, device = rain.size_slope_per_mm, random.device
    # the frustum is widened by the path of the fastest drop, but not downwards: streaks enter from outside
    fastest = rain.wind_mps.abs().clamp(min=10)
    cx_right = cameras.cx + cameras.offset_px
    geometry = torch.stack(
        [
            cameras.focal_px,
            cameras.baseline_m,
            torch.maximum(cameras.cx, cx_right),
            width - torch.minimum(cameras.cx, cx_right),
            cameras.cy,
            fastest * rain.exposure_s,
            10.0 * rain.exposure_s,
        ]
    )

    def region(depth: torch.Tensor, geometry: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return, at depths in m, left edge, width, top edge and height of the visible region in m, smallest mm."""
        focal, baseline, before, after, above, aside, path = geometry
        metre = depth / focal  # per px
        smallest_mm = (1e3 * NARROWEST_STREAK_PX * metre).clamp(min=SMALLEST_DROP_MM)
        across = (before + after) * metre + baseline + 2 * aside
        return -before * metre - aside, across, -above * metre - path, height * metre + path, smallest_mm

    grid = torch.linspace(math.log(NEAREST_DROP_M), math.log(FARTHEST_DROP_M), DEPTHS, device=device).exp()
    _, across, _, down, smallest_mm = region(grid, geometry[..., None])
    per_m = across * down * 8000 / slope[:, None] * torch.exp(-slope[:, None] * smallest_mm)
    steps = grid.diff() * (per_m[:, 1:] + per_m[:, :-1]) / 2
    table = F.pad(steps.double().cumsum(1), (1, 0))
    mean = table[:, -1].float()
    limit = MOST_DROPS * height * width
    counts = random.counts("drops", mean.clamp(max=limit))
    sample, number = numbered(counts)

    # one sorted table for all samples: sample number + share of the drops that are nearer
    table = (table / table[:, -1:] * FINE).round() / FINE
    table[:, -1] = 1
    table = (table + torch.arange(len(table), device=device)[:, None]).flatten()
    drawn = random.at("depth", sample, number).double() + sample
    above = torch.searchsorted(table, drawn, right=True).clamp(max=len(table) - 1)
    low, high = table.index_select(0, above - 1), table.index_select(0, above)
    between = ((drawn - low) / (high - low).clamp(min=1 / FINE)).float()
    grid = grid.repeat(len(mean))
    z = torch.lerp(grid.index_select(0, above - 1), grid.index_select(0, above), between)

    left_edge, across, top_edge, down, smallest_mm = region(z, geometry.index_select(1, sample))
    x = random.at("drop x", sample, number) * across + left_edge
    y = random.at("drop y", sample, number) * down + top_edge
    larger_mm = -(1 - random.at("drop size", sample, number)).log() / slope.index_select(0, sample)
    diameter_mm = (smallest_mm + larger_mm).clamp(max=6)
    wind, camera, exposure = (
        value.index_select(0, sample) for value in (rain.wind_mps, rain.camera_mps, rain.exposure_s)
    )
    speed = (9.65 - 10.3 * torch.exp(-0.6 * diameter_mm)).clamp(min=0.1)
    start = torch.stack([x, y, z])
    end = start + torch.stack([wind, speed, -camera]) * exposure
    return Drops(sample, start, end, diameter_mm, (mean / limit).clamp(min=1).index_select(0, sample))


def coverage_s(drops: Drops, cameras: Cameras, rain: Rain, disparity: torch.Tensor) -> torch.Tensor:
    """Return the time in seconds for which drops cover every pixel.

    Args:
        drops: the drops.
        cameras: geometry, (B,) each.
        rain: exposure and focus, (B,) each.
        disparity: (B, 2, H, W) px of the scenes.

    Returns:
        (B, 2, H, W) float32, at most the exposure.
    """
    cameras_of = torch.stack([cameras.focal_px, cameras.baseline_m, cameras.cx, cameras.cy, cameras.offset_px])
    rain_of = torch.stack([rain.focus_m, rain.aperture_px])
    values = torch.cat([cameras_of, rain_of]).index_select(1, drops.sample)
    focal, baseline, cx, cy, offset, focus, aperture = values
    (x0, y0, z0), (x1, y1, z1) = drops.start_m, drops.end_m
    near = 1 / z0.clamp(min=0.05)
    scale0, scale1 = focal * near, focal / z1.clamp(min=0.05)
    drop_px = scale0 * drops.diameter_mm * 1e-3
    width_px = torch.hypot(drop_px, aperture * (near - 1 / focus).abs())
    sides = []
    for right in (0, 1):
        u0, v0 = scale0 * (x0 - right * baseline) + cx + right * offset, scale0 * y0 + cy
        u1, v1 = scale1 * (x1 - right * baseline) + cx + right * offset, scale1 * y1 + cy
        length = torch.hypot(u1 - u0, v1 - v0)
        # a pixel on the path is covered while the drop moves by its own width; blur spreads that time
        value = drops.weight * drop_px**2 / (width_px * (length + width_px))
        apparent = scale0 * baseline - offset
        fade, soft = torch.zeros_like(value), width_px > 3
        sides.append(Segments(2 * drops.sample + right, u0, v0, u1, v1, width_px, value, apparent, fade, soft))
    share = draw_segments(Segments.cat(sides), disparity.flatten(0, 1)).reshape_as(disparity)
    return share.clamp_(max=1).mul_(with_dims(rain.exposure_s, 4))


def _lit(share: torch.Tensor, colour: torch.Tensor) -> torch.Tensor:
    """Return the light of a `colour` (B, 3) by the `share` (B, 2, H, W) of every pixel: (B, 2, 3, H, W)."""
    return share[:, :, None] * colour[:, None, :, None, None]


def _surroundings(light: torch.Tensor) -> torch.Tensor:
    """Return the light around every pixel of `light` (B, 2, 3, H, W): its mean within some 50 px."""
    height, width = light.shape[-2:]
    cells = F.interpolate(light.flatten(0, 1), (-(-height // 32), -(-width // 32)), mode="area")
    around = F.avg_pool2d(F.pad(cells, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    return F.interpolate(around, (height, width), mode="bilinear").reshape_as(light)
