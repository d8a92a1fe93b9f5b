"""Drops and runnels on the glass in front of each camera: blurred, inverted small pictures of the scene."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from apanet_core.rain.counter_random import CounterRandom
from apanet_core.rain.light import to_linear, to_srgb
from apanet_core.rain.records import Number
from apanet_core.rain.splat import boxes

MOST_DROPS = 48  # limit per view
PICTURE = 48, 96  # px of the picture that drops refract; their blur hides more detail
RUNNELS = 0.15  # share of drops that run down the glass: tall and narrow, most with a trail of water above
TRAILS, TRAIL_SOFTNESS = 0.7, 0.8  # share of the runnels with a trail; its soft edge in radii
REACH = 1.9  # radii of a drop to the end of its soft edge, at most
VISIBLE = 0.05  # opacity above which a drop counts as visible
STEPS = 1 << 16  # of the opacity, to find the most opaque drop with integers


@dataclass(frozen=True)
class WetGlass:
    """Drops on the glass, different for each camera; every value is a number, or a tensor (B,).

    Args:
        drops: mean number of drops in a view; 0: dry glass.
        smallest_rad: smallest radius in radians, seen from the camera: 0.5 mm at 4 cm is 0.0125.
        largest_rad: largest radius in radians.

    Raises:
        ValueError: a number is out of its range.
    """

    drops: Number = 0.0
    smallest_rad: Number = 0.008
    largest_rad: Number = 0.05

    def __post_init__(self) -> None:
        if isinstance(self.drops, torch.Tensor):
            return
        if not (0 <= self.drops <= MOST_DROPS and 0 < self.smallest_rad <= self.largest_rad):
            raise ValueError(
                f"wet glass needs 0 to {MOST_DROPS} drops and 0 < smallest_rad <= largest_rad: got {self.drops}, "
                f"{self.smallest_rad}, {self.largest_rad}"
            )


def look_through(
    views: torch.Tensor, glass: WetGlass, focal_px: torch.Tensor, random: CounterRandom
) -> tuple[torch.Tensor, torch.Tensor]:
    """Render drops on the glass of each camera.

    Args:
        views: (B, 2, 3, H, W), whole numbers from 0 to 255.
        glass: tensors (B,).
        focal_px: (B,).
        random: random numbers of the samples.

    Returns:
        The views through the glass, not rounded, and the pixels with a visible drop, (B, 2, H, W) bool.
    """
    height, width = views.shape[-2:]
    light = to_linear(views.flatten(0, 1))
    images = len(light)
    counts = random.counts("glass drops", glass.drops[:, None].expand(-1, 2)).clamp(max=MOST_DROPS)
    shown = torch.arange(MOST_DROPS, device=views.device) < counts[..., None]
    image, number = shown.flatten(0, 1).nonzero().unbind(1)

    def drawn(name: str, low: float, high: float) -> torch.Tensor:
        values = random.uniform(name, 2, MOST_DROPS, low=low, high=high)
        return values.flatten(0, 1)[image, number]

    smallest, largest, focal = (
        v.repeat_interleave(2)[image] for v in (glass.smallest_rad, glass.largest_rad, focal_px)
    )
    # small drops are more frequent: the logarithm of the radius is uniform
    radius = focal * torch.lerp(smallest.log(), largest.log(), drawn("glass radius", 0, 1)).exp()
    x, y = drawn("glass x", 0, width), drawn("glass y", 0, height)
    runs = drawn("runnel", 0, 1) < RUNNELS
    squash = torch.where(runs, drawn("tall", 0.12, 0.3), drawn("squash", 0.5, 1.1))
    bumps, turn = drawn("bumps", 0, 0.12), drawn("bump phase", 0, 2 * math.pi)
    soft, opacity, bend = drawn("glass blur", 0.15, 0.8), drawn("opacity", 0.6, 1), drawn("bend", 0.35, 0.5)
    middle_x, middle_y = drawn("shown x", -0.2, 0.2), drawn("shown y", -0.2, 0.2)

    # a trail is a thin drop that ends where its runnel is, several times as long, and lets more of the scene through
    trail = (runs & (drawn("trail", 0, 1) < TRAILS)).nonzero()[:, 0]
    length, narrow = drawn("trail length", 2, 8)[trail], drawn("trail width", 0.25, 0.6)[trail]
    half = radius[trail] / squash[trail]  # of the runnel's height
    trail_opacity = opacity[trail] * drawn("trail opacity", 0.3, 0.7)[trail]
    runnels = torch.stack([bumps, turn, bend, middle_x, middle_y])[:, trail]
    trails = torch.stack(
        [x[trail], y[trail] - length * half, radius[trail] * narrow, squash[trail] * narrow / length]
        + [torch.full_like(half, TRAIL_SOFTNESS), trail_opacity, *runnels]
    )
    values = torch.stack([x, y, radius, squash, soft, opacity, bumps, turn, bend, middle_x, middle_y])
    values = torch.cat([values, trails], dim=1)
    image, number = torch.cat([image, image[trail]]), torch.cat([number, number[trail] + MOST_DROPS])

    x, y, radius, squash = values[:4]
    reach = REACH * radius
    drop, u, v = boxes(x - reach, y - reach / squash, x + reach, y + reach / squash, (height, width))
    x, y, radius, squash, soft, opacity, bumps, turn, bend, middle_x, middle_y = values.index_select(1, drop)
    dx, dy = (u + 0.5 - x) / radius, (v + 0.5 - y) / radius * squash
    angle = torch.atan2(dy.double(), dx.double()).float()  # float32 is rounded otherwise at the end of a tensor
    rho = torch.hypot(dx, dy) / (1 + bumps * torch.cos(2 * angle + turn) + bumps * torch.cos(3 * angle - turn))
    edge = ((1 + soft / 2 - rho) / soft).clamp(0, 1)
    alpha = opacity * edge * edge * (3 - 2 * edge)

    # where drops overlap, the most opaque one is seen
    place = (image.index_select(0, drop) * height + v) * width + u
    key = (alpha * STEPS).int() * 2 * MOST_DROPS + number.int().index_select(0, drop)
    nearest = torch.zeros(images * height * width, dtype=torch.int32, device=views.device)
    nearest = nearest.scatter_reduce(0, place, key, "amax")
    won = ((key == nearest.index_select(0, place)) & (alpha > 0)).nonzero()[:, 0]
    alpha, place, rho, dx, dy, bend, middle_x, middle_y = (
        t.index_select(0, won) for t in (alpha, place, rho, dx, dy, bend, middle_x, middle_y)
    )
    # inverted and wide-angle: the middle of a drop shows the middle of the scene, its rim the far opposite side
    turned = 2 * bend * (0.55 + 0.45 * rho.clamp(max=1.2).square())
    image = torch.div(place, height * width, rounding_mode="floor")
    seen = _picture(light, image, middle_x - turned * dx, middle_y - turned * dy)
    planes = light.transpose(0, 1).flatten(1)  # (3, images H W)
    planes.index_copy_(1, place, torch.lerp(planes.index_select(1, place), seen, alpha))
    covered = torch.zeros(images * height * width, dtype=torch.bool, device=views.device)
    covered.index_fill_(0, place.index_select(0, (alpha > VISIBLE).nonzero()[:, 0]), True)
    light = planes.reshape(3, images, height, width).transpose(0, 1)
    return to_srgb(light).reshape(views.shape), covered.reshape(-1, 2, height, width)


def _picture(light: torch.Tensor, image: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return the light (3, N) of each `image` (N,) at `x` and `y` (N,), which are -1 to 1 from border to border."""
    tall, wide = PICTURE
    picture = F.interpolate(light, PICTURE, mode="area").transpose(0, 1).flatten(1)
    column, row = (((t.clamp(-1, 1) + 1) * side / 2 - 0.5).clamp(0, side - 1) for t, side in ((x, wide), (y, tall)))
    left, top = column.floor().clamp(max=wide - 2), row.floor().clamp(max=tall - 2)
    first = (image * tall + top.long()) * wide + left.long()
    upper, lower = (
        torch.lerp(picture.index_select(1, place), picture.index_select(1, place + 1), column - left)
        for place in (first, first + wide)
    )
    return torch.lerp(upper, lower, row - top)
