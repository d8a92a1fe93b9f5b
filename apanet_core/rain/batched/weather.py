"""Sample the weather of training samples and render it, with the shares and ranges of all effects.

Sources: drop sizes Marshall & Palmer 1948, fall speed Atlas et al. 1973, streak appearance Garg & Nayar 2006/2007, veil
Weber et al. 2015, colour Halder et al. 2019.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch.nn import functional as F

from apanet_core.rain.batched.counter_random import CounterRandom
from apanet_core.rain.batched.scenes import Scenes
from apanet_core.rain.batched.splat import Segments, draw_segments
from apanet_core.rain.batched.streaks import add_streaks

DRY, DROPS, STREAKS, BOTH = 0.36, 0.30, 0.28, 0.06  # shares of the kinds
NO_VEIL, NO_MIST = 0.3, 0.4  # shares of drops without veil, and with that of the rain alone
SMALLEST_DROP_MM, NARROWEST_STREAK_PX = 0.5, 0.2
NEAREST_DROP_M, FARTHEST_DROP_M = 0.2, 30.0
MOST_DROPS = 12_000  # limit per sample; in a denser shower, each drop gets more light
DROP_CROSSING_S = math.sqrt(1.16e-3) / 50  # t0 of Garg & Nayar: a 1.16 mm drop passing over its own width
LENS_DROPS = 6  # largest number of drops on the glass of a wet camera


def rain_on(scenes: Scenes, random: CounterRandom) -> torch.Tensor:
    """Render rain over scenes: (B, 2, 3, H, W) float32 in [0, 255], before the effects of the sensor."""
    kind = random.uniform("kind")
    with_drops, with_streaks = _has_drops(random), kind >= DRY + DROPS
    light = to_linear(scenes.views / 255)
    light = torch.where(with_drops[:, None, None, None, None], _falling_rain(light, scenes, random, with_drops), light)
    views = 255 * to_srgb(light)
    views = torch.where((kind < DRY)[:, None, None, None, None], scenes.views, views)
    views = add_streaks(views, random, with_streaks)
    return _wet_glass(views, scenes, random, with_drops & random.happens("wet glass", 0.15))


def is_dry(random: CounterRandom) -> torch.Tensor:
    """Return a mask, (B,) bool, of the samples that `rain_on` leaves unchanged."""
    return random.uniform("kind") < DRY


def is_veiled(random: CounterRandom) -> torch.Tensor:
    """Return a mask, (B,) bool, of the samples that `rain_on` veils."""
    return _has_drops(random) & (draw_shower(random).veil >= NO_VEIL)


def _has_drops(random: CounterRandom) -> torch.Tensor:
    kind = random.uniform("kind")
    return (kind >= DRY) & ((kind < DRY + DROPS) | (kind >= DRY + DROPS + STREAKS))


def to_linear(value: torch.Tensor) -> torch.Tensor:
    """Convert sRGB in [0, 1] to linear light."""
    return torch.where(value <= 0.04045, value / 12.92, ((value.clamp(min=0.04) + 0.055) / 1.055) ** 2.4)


def to_srgb(light: torch.Tensor) -> torch.Tensor:
    """Convert linear light to sRGB in [0, 1], clipped."""
    light = light.clamp(0, 1)
    return torch.where(light <= 0.0031308, 12.92 * light, 1.055 * light.clamp(min=0.003) ** (1 / 2.4) - 0.055)


class Shower(NamedTuple):
    """Showers of a batch, (B,) each: rate in mm/h, exposure in s, a number in [0, 1) for the veil, visibility in m."""

    rate_mm_h: torch.Tensor
    exposure_s: torch.Tensor
    veil: torch.Tensor
    visibility_m: torch.Tensor


def draw_shower(random: CounterRandom) -> Shower:
    """Draw the drops of the samples; `veil` is below `NO_VEIL`, or less than `NO_MIST` above it, or else mist."""
    return Shower(
        random.log_uniform("rate", low=2, high=120),
        random.log_uniform("exposure", low=0.001, high=0.04),
        random.uniform("veil"),
        random.log_uniform("visibility", low=50, high=1000),
    )


def _falling_rain(light: torch.Tensor, scenes: Scenes, random: CounterRandom, where: torch.Tensor) -> torch.Tensor:
    """Add drops in space, the same in both views, and the veil of those too far to be visible."""
    rate, exposure, chance, visibility = draw_shower(random)
    height, width = light.shape[-2:]
    covered = _coverage_s(scenes, random, rate, exposure, where, (height, width)).minimum(exposure[:, None, None, None])
    small = light[..., ::4, ::4].transpose(1, 2).flatten(2)
    field, sky = small.mean(-1), small.quantile(0.98, dim=-1)
    brightness = random.log_uniform("brightness", low=0.3, high=1.4)
    # a drop is a fish-eye lens, which shows the average light of its surroundings
    drop = brightness[:, None] * (0.94 * field + 0.06 * sky) / DROP_CROSSING_S
    # the veil: of the rain, or of mist with a visibility down to 50 m, uniform or in swathes
    extinction = 0.312e-3 * rate**0.67
    mist = 3.9 / visibility
    extinction = torch.where(
        chance < NO_VEIL, 0, torch.where(chance < NO_VEIL + NO_MIST, extinction, extinction + mist)
    )
    swathes = random.uniform("swathes", 1, 3, 4, low=0.4, high=1.6)
    even = random.happens("even veil", 0.6)[:, None, None, None]
    swathes = torch.where(even, 1.0, F.interpolate(swathes, (height, width), mode="bicubic").clamp(min=0))
    cameras = scenes.cameras
    depth = (cameras.focal_px * cameras.baseline_m)[:, None, None, None] / scenes.disparity.clamp(min=0.1)
    veiled = 1 - torch.exp(-extinction[:, None, None, None] * swathes * depth.clamp(max=1000))
    airlight = random.normal("airlight").mul(0.3).exp()[:, None] * 0.5 * (field + sky)
    free = (1 - covered / exposure[:, None, None, None])[:, :, None]
    veiled = veiled[:, :, None]
    airlight, drop = (colour[:, None, :, None, None] for colour in (airlight, drop))
    return (light * (1 - veiled) + airlight * veiled) * free + drop * covered[:, :, None]


def _coverage_s(
    scenes: Scenes,
    random: CounterRandom,
    rate: torch.Tensor,
    exposure: torch.Tensor,
    where: torch.Tensor,
    size: tuple[int, int],
) -> torch.Tensor:
    """Return the time in seconds for which drops cover every pixel: (B, 2, H, W)."""
    height, width = size
    cameras = scenes.cameras
    slope = 4.1 * rate**-0.21  # Lambda of N(D) = 8000 exp(-Lambda D) per m^3 and mm
    path_m = 10.0 * exposure

    def region(depth: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return, at a depth (B, n), left edge, width, top edge, height of the visible region in m, and smallest mm."""
        metre = depth / cameras.focal_px[:, None]  # per px
        left_edge = -cameras.cx[:, None] * metre - path_m[:, None]
        across = width * metre + cameras.baseline_m[:, None] + 2 * path_m[:, None]
        down = height * metre + path_m[:, None]
        smallest_mm = (1e3 * NARROWEST_STREAK_PX * metre).clamp(min=SMALLEST_DROP_MM)
        return left_edge, across, -cameras.cy[:, None] * metre - path_m[:, None], down, smallest_mm

    grid = torch.linspace(math.log(NEAREST_DROP_M), math.log(FARTHEST_DROP_M), 128, device=rate.device).exp()[None]
    _, across, _, down, smallest_mm = region(grid)
    per_m = across * down * 8000 / slope[:, None] * torch.exp(-slope[:, None] * smallest_mm)
    steps = grid.diff() * (per_m[:, 1:] + per_m[:, :-1]) / 2
    cumulative = F.pad(steps.cumsum(1), (1, 0))
    drops = random.count("drops", cumulative[:, -1].clamp(max=MOST_DROPS)) * where
    scale = (cumulative[:, -1] / MOST_DROPS).clamp(min=1)  # for the light of the drops that are left out
    most = int(drops.max())
    if most == 0:
        return torch.zeros_like(scenes.disparity)

    drawn = random.uniform("depth", most) * cumulative[:, -1:]
    above = torch.searchsorted(cumulative.contiguous(), drawn.contiguous()).clamp(1, 127)
    low, high = cumulative.gather(1, above - 1), cumulative.gather(1, above)
    near, far = grid[0][above - 1], grid[0][above]
    z = near + (far - near) * ((drawn - low) / (high - low).clamp(min=1e-9)).clamp(0, 1)
    left_edge, across, top_edge, down, smallest_mm = region(z)
    x = random.uniform("drop x", most) * across + left_edge
    y = random.uniform("drop y", most) * down + top_edge
    larger_mm = -(1 - random.uniform("drop size", most)).log() / slope[:, None]
    diameter_mm = (smallest_mm + larger_mm).clamp(max=6)
    fall = (9.65 - 10.3 * torch.exp(-0.6 * diameter_mm)).clamp(min=0.1)
    speed = torch.where(random.happens("driving", 0.5), random.uniform("camera speed", low=0, high=20), 0)
    wind_x, wind_z = 2 * random.normal("wind across"), random.normal("wind along") - speed
    seconds = exposure[:, None]
    end_x, end_y = x + wind_x[:, None] * seconds, y + fall * seconds
    end_z = (z + wind_z[:, None] * seconds).clamp(min=0.05)

    focal = cameras.focal_px[:, None]
    drop_px = focal * diameter_mm * 1e-3 / z
    focus = random.log_uniform("focus", low=2, high=30)[:, None]
    aperture = torch.where(
        random.happens("wide open", 0.25), random.uniform("aperture", low=3, high=10), random.uniform("pinhole", high=3)
    )
    width_px = torch.hypot(drop_px, aperture[:, None] * (1 / z - 1 / focus).abs())
    number = torch.arange(most, device=rate.device)
    alive = (number < drops[:, None]).flatten().nonzero()[:, 0]
    sides = []
    for right in (0, 1):
        shift0, shift1 = (right * focal * cameras.baseline_m[:, None] / depth for depth in (z, end_z))
        u0, v0 = focal * x / z + cameras.cx[:, None] - shift0, focal * y / z + cameras.cy[:, None]
        u1, v1 = focal * end_x / end_z + cameras.cx[:, None] - shift1, focal * end_y / end_z + cameras.cy[:, None]
        length = torch.hypot(u1 - u0, v1 - v0).clamp(min=1e-3)
        # a pixel on the path is covered while the drop moves by its own width; blur spreads that time
        covered = scale[:, None] * seconds * drop_px / (length + drop_px)
        value = covered * drop_px * (length + drop_px) / (width_px * (length + width_px)) / seconds
        image = (2 * torch.arange(len(rate), device=rate.device) + right)[:, None].expand_as(z)
        near_d = focal * cameras.baseline_m[:, None] / z
        flat = [t.flatten()[alive] for t in (image, u0, v0, u1, v1, width_px, value, near_d)]
        sides.append([*flat, torch.zeros_like(flat[1]), flat[5] > 3])
    segments = Segments(*(torch.cat(pair) for pair in zip(*sides)))
    share = draw_segments(segments, scenes.disparity.flatten(0, 1)).reshape_as(scenes.disparity)
    return share * exposure[:, None, None, None]


def _wet_glass(views: torch.Tensor, scenes: Scenes, random: CounterRandom, where: torch.Tensor) -> torch.Tensor:
    """Add drops on the glass in front of each camera: blurred, inverted small pictures of the scene."""
    chosen = where.nonzero()[:, 0]
    if not len(chosen):
        return views
    height, width = views.shape[-2:]
    light = to_linear(views[chosen].flatten(0, 1) / 255)
    picture = F.interpolate(light, (48, 96), mode="area")

    def drawn(name: str, low: float, high: float) -> torch.Tensor:
        return random.uniform(name, 2, LENS_DROPS, low=low, high=high)[chosen].flatten(0, 1)

    focal = scenes.cameras.focal_px[chosen].repeat_interleave(2)
    count = 1 + random.integer("lens drops", LENS_DROPS)[chosen].repeat_interleave(2)
    y = torch.arange(height, device=views.device).float()[:, None] + 0.5
    x = torch.arange(width, device=views.device).float() + 0.5
    radius = focal[:, None] * drawn("lens radius", math.log(0.008), math.log(0.05)).exp()
    across, down = drawn("lens x", 0, width), drawn("lens y", 0, height)
    squash, bump, phase = drawn("squash", 0.5, 1.1), drawn("bumps", 0, 0.12), drawn("bump phase", 0, 6.28)
    blur, opaque, bend = drawn("lens blur", 0.15, 0.8), drawn("opacity", 0.6, 1), drawn("bend", 0.35, 0.5)
    middle_x, middle_y = drawn("shown x", -0.2, 0.2), drawn("shown y", -0.2, 0.2)
    for k in range(LENS_DROPS):
        one = [t[:, k, None, None] for t in (radius, across, down, squash, bump, phase, blur, opaque, bend)]
        r, cx, cy, squashed, bumps, turn, softness, opacity, bending = one
        dx, dy = (x - cx) / r, (y - cy) / r * squashed
        angle = torch.atan2(dy, dx)
        rho = torch.hypot(dx, dy) / (1 + bumps * torch.cos(2 * angle + turn) + bumps * torch.cos(3 * angle - turn))
        edge = ((1 + softness / 2 - rho) / softness).clamp(0, 1)
        alpha = opacity * edge * edge * (3 - 2 * edge) * (k < count)[:, None, None]
        turned = 2 * bending * (0.55 + 0.45 * rho.clamp(max=1.2).square())
        grid = torch.stack([middle_x[:, k, None, None] - turned * dx, middle_y[:, k, None, None] - turned * dy], dim=-1)
        seen = F.grid_sample(picture, grid.clamp(-1, 1), mode="bilinear", align_corners=False, padding_mode="border")
        light = light + alpha[:, None] * (seen - light)
    wet = views.clone()
    wet[chosen] = 255 * to_srgb(light).reshape(len(chosen), 2, 3, height, width)
    return wet
