"""Batches of stereo scenes made of photographs: textured planes in front of each other, exact in both views.

Every surface is a plane: its disparity is linear in the left view's column and row, so one division finds the point of
the left view for a point of the right one. The nearest surface wins in each view, which makes occlusions correct.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch

from apanet_core.rain.counter_random import CounterRandom
from apanet_core.rain.photo_atlas import Lines, PhotoAtlas
from apanet_core.rain.records import rows_of
from apanet_core.rain.splat import AT_ONCE, boxes
from apanet_core.rain.surfaces import Cameras, Surfaces, random_surfaces

LEAST_DISPARITY = 0.2  # px; farther surfaces are not drawn
KEY_STEPS = 1 << 14  # per px of disparity, to find the nearest surface with integers


@dataclass(frozen=True)
class Scenes:
    """B clean pairs: `views` (B, 2, 3, H, W) float32 in [0, 255], left first, and `disparity` (B, 2, H, W) px."""

    views: torch.Tensor
    disparity: torch.Tensor
    cameras: Cameras

    @property
    def size(self) -> tuple[int, int]:
        """Return height and width of a view in px."""
        return self.views.shape[-2], self.views.shape[-1]

    def of(self, rows: torch.Tensor) -> Scenes:
        """Return some scenes of the batch; `rows` is (N,) int64, in rising order."""
        if len(rows) == len(self.views):
            return self
        views, disparity = (t.index_select(0, rows) for t in (self.views, self.disparity))
        return Scenes(views, disparity, rows_of(self.cameras, rows))


def random_scenes(atlas: PhotoAtlas, size: tuple[int, int], random: CounterRandom) -> Scenes:
    """Sample scenes.

    Args:
        atlas: textures of the surfaces.
        size: (height, width) of a view in px.
        random: random numbers, which set batch size and device.

    Returns:
        The scenes.
    """
    cameras, surfaces = random_surfaces(atlas, size, random)
    views, disparity = _render(atlas, surfaces, cameras, size)
    return Scenes(views, disparity, cameras)


def occluded(disparity: torch.Tensor) -> torch.Tensor:
    """Return a mask of the pixels whose point the other camera does not see.

    Args:
        disparity: (B, 2, H, W) px, left first.

    Returns:
        (B, 2, H, W) bool.
    """
    found, inside = in_other_view(disparity, disparity)
    return ~inside | (found > disparity + 1)


def in_other_view(values: torch.Tensor, disparity: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Read the other view at the point of every pixel.

    Args:
        values: (B, 2, H, W) of both views, left first.
        disparity: (B, 2, H, W) px; NaN counts as 0.

    Returns:
        The other view's value at the match, and whether the match lies in that view, (B, 2, H, W) each.
    """
    width = disparity.shape[-1]
    towards = torch.tensor([-1, 1], device=disparity.device)[:, None, None]
    seen_at = (torch.arange(width, device=disparity.device) + towards * disparity.nan_to_num()).round().long()
    return values.flip(1).gather(-1, seen_at.clamp(0, width - 1)), (seen_at >= 0) & (seen_at < width)


class _Drawn(NamedTuple):
    """Surfaces in the N images of a batch, (N, K) each.

    At column x and row y of an image (px), the disparity is d0 + dx x + dy y, and the distance from the middle of the
    surface s0 + sx x + sy y columns of the left view.
    """

    d0: torch.Tensor
    dx: torch.Tensor
    dy: torch.Tensor
    s0: torch.Tensor
    sx: torch.Tensor
    sy: torch.Tensor


def _drawn(surfaces: Surfaces) -> _Drawn:
    """Return the surfaces in left and right images, in turn: a right pixel x shows x + d(x) of the left view."""
    right = torch.tensor([0.0, 1.0], device=surfaces.base.device)[:, None]
    across = surfaces.across[:, None]
    factor = 1 / (1 - right * across)
    d0 = (surfaces.base - surfaces.across * surfaces.column - surfaces.down * surfaces.row)[:, None] * factor
    dx, dy = across * factor, surfaces.down[:, None] * factor
    lean, column, row = (t[:, None] for t in (surfaces.lean, surfaces.column, surfaces.row))
    linear = d0, dx, dy, right * d0 - column + lean * row, 1 + right * dx, right * dy - lean
    return _Drawn(*(t.flatten(0, 1) for t in linear))


def _render(
    atlas: PhotoAtlas, surfaces: Surfaces, cameras: Cameras, size: tuple[int, int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Render both views, (B, 2, 3, H, W) in [0, 255], and their disparity (B, 2, H, W); nearest surfaces win."""
    height, width = size
    drawn = _drawn(surfaces)
    device = drawn.d0.device
    surfaces = rows_of(surfaces, torch.arange(2 * len(surfaces.base), device=drawn.d0.device) // 2)
    images = len(drawn.d0)
    shape = images, height, width
    y = torch.arange(height, device=device)[:, None] + 0.5
    x = torch.arange(width, device=device) + 0.5

    # backdrop and ground fill an image, objects their bounding box
    backdrop, ground = (
        (d0 + dy * y) + dx * x
        for d0, dx, dy in ((t[:, k, None, None] for t in (drawn.d0, drawn.dx, drawn.dy)) for k in (0, 1))
    )
    ground = torch.where((surfaces.shown[:, 1, None, None] > 0) & (ground > LEAST_DISPARITY), ground, 0)
    behind = torch.maximum(_depth_key(backdrop, 0), _depth_key(ground, 1)).flatten()
    place, key, alpha = _objects(surfaces, drawn, size)
    first = behind.scatter_reduce(0, place, key, "amax")
    won = key == first.index_select(0, place)
    second = behind.scatter_reduce(0, place, key * ~won, "amax")
    opaque = torch.ones_like(first, dtype=torch.float32).scatter_reduce(0, place, alpha + 2 * ~won, "amin")

    lines, u0, du = _texture_lines(atlas, surfaces, drawn, cameras, y[:, 0])
    layers = drawn.d0.shape[1]
    row_of = torch.arange(images, device=device)[:, None] * layers * height + torch.arange(height, device=device)
    row_of, column = row_of[:, :, None].expand(shape).flatten(), x.expand(shape).flatten()

    def shade(key: torch.Tensor, row: torch.Tensor, column: torch.Tensor) -> torch.Tensor:
        line = row + (key & 15) * height
        return atlas.read(lines.at(line), u0.index_select(0, line) + du.index_select(0, line) * column)

    colours = torch.cat(
        [shade(*part) for part in zip(*(torch.split(t, AT_ONCE[device.type]) for t in (first, row_of, column)))], dim=1
    )
    edge = (opaque < 1).nonzero()[:, 0]
    colours[:, edge] = torch.lerp(
        shade(*(t.index_select(0, edge) for t in (second, row_of, column))), colours[:, edge], opaque[edge]
    )
    disparity = torch.where(opaque > 0.5, first, second) >> 4
    views = colours.reshape(3, -1, 2, height, width).permute(1, 2, 0, 3, 4).contiguous()
    return views, (disparity / KEY_STEPS).reshape(-1, 2, height, width)


def _depth_key(disparity: torch.Tensor, k: torch.Tensor | int) -> torch.Tensor:
    """Return an int32 that is larger for a nearer surface and ends in its number `k`."""
    return (disparity.clamp(0, 4095) * KEY_STEPS).int() * 16 + k


def _objects(
    surfaces: Surfaces, drawn: _Drawn, size: tuple[int, int]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return flat pixel number, `_depth_key` and opacity of every pixel of every object, (M,) each."""
    height, width = size
    image, k = (surfaces.shown[:, 2:] > 0).nonzero().unbind(1)
    k = k + 2
    row, half_w, half_h, shape, bump, phase = (
        getattr(surfaces, name)[image, k] for name in ("row", "half_width", "half_height", "shape", "bump", "phase")
    )
    d0, dx, dy, s0, sx, sy = (t[image, k] for t in drawn)
    reach = 1.05 * half_h + 1  # a ragged outline is up to 4 % larger
    middle, lean = -(s0 + sy * row) / sx, (sy * reach / sx).abs()
    aside = lean + (1.05 * half_w + 1) / sx
    thing, u, v = boxes(middle - aside, row - reach, middle + aside, row + reach, size)

    def of(values: torch.Tensor, things: torch.Tensor = thing) -> torch.Tensor:
        return values.index_select(0, things)

    x, y = u + 0.5, v + 0.5
    d = of(d0) + of(dx) * x + of(dy) * y
    across, down = of(s0) + of(sx) * x + of(sy) * y, y - of(row)
    inside = torch.minimum(of(half_w) - across.abs(), of(half_h) - down.abs())
    blobs = (of(shape) > 0).nonzero()[:, 0]
    thing_ = of(thing, blobs)
    s, t = of(across, blobs) / of(half_w, thing_), of(down, blobs) / of(half_h, thing_)
    angle, turn = torch.atan2(t, s), of(phase, thing_)
    ragged = of(bump, thing_) * (torch.cos(3 * angle + turn) + torch.cos(7 * angle + 2.3 * turn)) / 2
    edge = torch.where(of(shape, thing_) == 2, 0.8 * (1 + ragged), 1.0)
    inside[blobs] = (edge - torch.hypot(s, t)) * of(torch.minimum(half_w, half_h), thing_)
    alpha = (inside + 0.5).clamp(0, 1)
    seen = ((alpha > 0) & (d > LEAST_DISPARITY)).nonzero()[:, 0]
    place, key = (of(image) * height + v) * width + u, _depth_key(d, of(k.int()))
    return of(place, seen), of(key, seen), of(alpha, seen)


def _texture_lines(
    atlas: PhotoAtlas, surfaces: Surfaces, drawn: _Drawn, cameras: Cameras, y: torch.Tensor
) -> tuple[Lines, torch.Tensor, torch.Tensor]:
    """Return the line of texture of every surface in every row, (N, K, H): column x shows column u0 + du x of it."""
    down = y - surfaces.row[..., None]
    u, v, step, per_m = (t[..., None] for t in (surfaces.u, surfaces.v, surfaces.step_v, surfaces.per_m))
    # ground: Z = f h / (y - horizon), and b / h is the plane's slope
    focal, baseline = (t.repeat_interleave(2)[:, None, None] for t in (cameras.focal_px, cameras.baseline_m))
    slope = surfaces.down[..., None]
    depth = focal * baseline / (slope * down).clamp(min=LEAST_DISPARITY)
    ground = per_m > 0
    ground_step = per_m * depth / focal
    stretched = torch.maximum(ground_step, per_m * depth**2 / (focal * baseline / slope.clamp(min=1e-3)) / 2)
    lines = atlas.lines(
        surfaces.photo[..., None],
        torch.where(ground, per_m * depth, v + step * down),
        torch.where(ground, stretched, step),
    )
    step_u = torch.where(ground, ground_step, surfaces.step_u[..., None])
    u0 = u + step_u * (drawn.s0[..., None] + drawn.sy[..., None] * y)
    return lines, u0.flatten(), (step_u * drawn.sx[..., None]).expand_as(u0).flatten()
