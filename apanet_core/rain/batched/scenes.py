"""Batches of stereo scenes made of photographs: textured planes in front of each other, exact in both views.

Every surface is a plane: its disparity is linear in the left view's column and row, so one division finds the point of
the left view for a point of the right one. The nearest surface wins in each view, which makes occlusions correct.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

import torch

from apanet_core.rain.batched.counter_random import CounterRandom
from apanet_core.rain.batched.photo_atlas import Lines, PhotoAtlas

OBJECTS = 7
STREETS = 0.45  # share of the scenes
LARGEST_DISPARITY = 0.45  # share of the width; `LARGEST_DISPARITY_PX` also limits it
LARGEST_DISPARITY_PX = 185.0
FOREVER = 1e6  # px: half size of an unlimited surface
LEAST_DISPARITY = 0.2  # px; farther surfaces are not drawn
import os
CHUNK=int(os.environ.get("CH","32768"))
KEY_STEPS = 1 << 14  # per px of disparity, to find the nearest surface with integers


@dataclass(frozen=True)
class Cameras:
    """Stereo cameras of a batch, (B,) each: focal length px, baseline m, principal point px."""

    focal_px: torch.Tensor
    baseline_m: torch.Tensor
    cx: torch.Tensor
    cy: torch.Tensor


@dataclass(frozen=True)
class Scenes:
    """B clean pairs: `views` (B, 2, 3, H, W) float32 in [0, 255], left first, and `disparity` (B, 2, H, W) px."""

    views: torch.Tensor
    disparity: torch.Tensor
    cameras: Cameras


@dataclass(frozen=True)
class _Surfaces:
    """Planes d = base + across (x - column) + down (y - row) in the left view, and their textures; (B, K) each."""

    base: torch.Tensor
    across: torch.Tensor
    down: torch.Tensor
    column: torch.Tensor  # centre in the left view, px
    row: torch.Tensor
    half_width: torch.Tensor
    half_height: torch.Tensor
    lean: torch.Tensor  # columns per row
    shape: torch.Tensor  # 0 box, 1 ellipse, 2 ragged
    bump: torch.Tensor  # amplitude of a ragged outline
    phase: torch.Tensor
    shown: torch.Tensor  # 1 or 0
    photo: torch.Tensor
    u: torch.Tensor  # px of the photograph at the centre
    v: torch.Tensor
    step_u: torch.Tensor  # px of the photograph per px, negative where mirrored
    step_v: torch.Tensor
    per_m: torch.Tensor  # px of the photograph per metre of ground; 0 for an upright surface


def random_scenes(atlas: PhotoAtlas, size: tuple[int, int], random: CounterRandom) -> Scenes:
    """Sample scenes.

    Args:
        atlas: textures of the surfaces.
        size: (height, width) of a view in px.
        random: random numbers, which set batch size and device.

    Returns:
        The scenes; a share of `STREETS` are streets: ground in perspective, a far backdrop, objects on the ground.
    """
    cameras, surfaces = _draw(atlas, size, random)
    views, disparity = _render(atlas, surfaces, cameras, size)
    return Scenes(views, disparity, cameras)


def occluded(disparity: torch.Tensor) -> torch.Tensor:
    """Return a mask of the pixels whose point the other camera does not see.

    Args:
        disparity: (B, 2, H, W) px, left first.

    Returns:
        (B, 2, H, W) bool.
    """
    width = disparity.shape[-1]
    column = torch.arange(width, device=disparity.device)
    hidden = []
    for here, there, sign in ((0, 1, -1), (1, 0, 1)):
        seen_at = (column + sign * disparity[:, here]).round().long()
        found = disparity[:, there].gather(-1, seen_at.clamp(0, width - 1))
        hidden.append((seen_at < 0) | (seen_at >= width) | (found > disparity[:, here] + 1))
    return torch.stack(hidden, dim=1)


def _draw(atlas: PhotoAtlas, size: tuple[int, int], random: CounterRandom) -> tuple[Cameras, _Surfaces]:
    height, width = size
    largest = min(LARGEST_DISPARITY * width, LARGEST_DISPARITY_PX)
    focal, baseline = random.uniform("focal", low=400, high=1200), random.log_uniform("baseline", low=0.06, high=0.6)
    street = random.happens("street", STREETS)
    horizon = height * torch.where(
        street, random.uniform("horizon", low=-0.1, high=0.8), random.uniform("cy", low=-0.5, high=1.5)
    )
    cx = width * random.uniform("cx", low=-0.5, high=1.5)
    cameras = Cameras(focal, baseline, cx, horizon)

    # the backdrop: far in a street, otherwise a wall, slanted or not
    far_m = torch.where(
        street, random.log_uniform("far", low=60, high=500), random.log_uniform("wall", low=3, high=100)
    )
    base = (focal * baseline / far_m).clamp(max=0.25 * width)
    upright = street | random.happens("flat wall", 0.4)
    wall_across = torch.where(upright, 0, random.uniform("wall across", low=-0.12, high=0.12))
    wall_down = torch.where(upright, 0, random.uniform("wall down", low=-0.08, high=0.2))
    least = base - (wall_across.abs() * width + wall_down.abs() * height) / 2
    base = base + (0.5 - least).clamp(min=0)

    # the ground: a point at depth Z lies f h / Z below the horizon, so its disparity grows by b / h per row
    above_m = random.uniform("above ground", low=1.0, high=2.5)
    objects = (random.batch, OBJECTS)
    nearest = (base + (wall_across.abs() * width + wall_down.abs() * height) / 2).clamp(max=0.8 * largest)
    spread = random.uniform("disparity", OBJECTS)
    loose_d = nearest[:, None] + 2 + spread * (largest - nearest)[:, None]
    near_m, backdrop_m = (focal * baseline / largest).clamp(min=3.0), focal * baseline / base
    far_m = torch.maximum(0.9 * backdrop_m, near_m * 1.01)
    depth_m = (near_m.log()[:, None] + spread * (far_m / near_m).log()[:, None]).exp()
    standing_d = (focal * baseline)[:, None] / depth_m
    standing = street[:, None].expand(objects)
    d = torch.where(standing, standing_d, loose_d)

    thin = random.happens("thin", 0.4, OBJECTS)
    tall_m = torch.where(
        thin, random.uniform("pole", OBJECTS, low=2, high=7), random.uniform("tall", OBJECTS, low=0.5, high=4)
    )
    wide_m = torch.where(
        thin, random.uniform("thick", OBJECTS, low=0.05, high=0.3), random.uniform("wide", OBJECTS, low=0.4, high=5)
    )
    loose_w = torch.where(
        thin,
        random.uniform("loose pole", OBJECTS, low=2, high=10),
        width * random.uniform("loose wide", OBJECTS, low=0.1, high=0.6),
    )
    loose_h = height * torch.where(
        thin,
        random.uniform("loose long", OBJECTS, low=0.4, high=1.2),
        random.uniform("loose tall", OBJECTS, low=0.15, high=0.9),
    )
    per_m = focal[:, None] / depth_m
    object_w = torch.where(standing, wide_m * per_m, loose_w).clamp(min=2)
    object_h = torch.where(standing, tall_m * per_m, loose_h).clamp(min=2)
    foot = horizon[:, None] + per_m * above_m[:, None]
    column = random.uniform("column", OBJECTS, low=-0.2, high=1.0) * (width + d) + torch.where(standing, 0, 0.1 * width)
    row = torch.where(standing, foot - object_h / 2, height * random.uniform("row", OBJECTS, low=-0.1, high=1.1))
    slanted = ~thin & random.happens("slanted", 0.35, OBJECTS)
    slope = torch.where(slanted, random.uniform("slope", OBJECTS, low=-0.2, high=0.2), 0)
    slope = slope.clamp(-0.5 * d / object_w, 0.5 * d / object_w)
    number = random.integer("objects", OBJECTS + 1)
    lean = torch.where(thin & ~standing, random.uniform("lean", OBJECTS, low=-0.3, high=0.3), 0)

    def with_backdrop(backdrop: torch.Tensor | float, ground: torch.Tensor | float, rest: torch.Tensor) -> torch.Tensor:
        front = [
            torch.as_tensor(v, device=rest.device, dtype=rest.dtype).expand(random.batch) for v in (backdrop, ground)
        ]
        return torch.cat([torch.stack(front, dim=1), rest], dim=1)

    photo = random.integer("photo", len(atlas), OBJECTS + 2)
    tall, wide = atlas.sizes[photo].unbind(-1)
    half_w = with_backdrop(width / 2, width / 2, object_w / 2)
    half_h = with_backdrop(height / 2, height / 2, object_h / 2)
    step = random.log_uniform("step", OBJECTS + 2, low=0.8, high=3.0)
    step = torch.minimum(step, torch.minimum(wide / (2.4 * half_w), tall / (2 * half_h))).clamp(min=0.3)
    mirror = torch.where(random.happens("mirrored", 0.5, OBJECTS + 2), -1.0, 1.0)

    def within(name: str, length: torch.Tensor, half: torch.Tensor) -> torch.Tensor:
        room = (length - 2 * half * step).clamp(min=0)
        return length / 2 + (random.uniform(name, OBJECTS + 2) - 0.5) * room

    surfaces = _Surfaces(
        base=with_backdrop(base, 0.0, d),
        across=with_backdrop(wall_across, 0.0, slope),
        down=with_backdrop(wall_down, baseline / above_m, torch.zeros(objects, device=random.device)),
        column=with_backdrop(width / 2, cx, column),
        row=with_backdrop(height / 2, horizon, row),
        half_width=with_backdrop(FOREVER, FOREVER, object_w / 2),
        half_height=with_backdrop(FOREVER, FOREVER, object_h / 2),
        lean=with_backdrop(0.0, 0.0, lean),
        shape=with_backdrop(0.0, 0.0, torch.where(thin, 0.0, random.integer("shape", 3, OBJECTS).float())),
        bump=with_backdrop(0.0, 0.0, random.uniform("bump", OBJECTS, low=0.05, high=0.3)),
        phase=with_backdrop(0.0, 0.0, random.uniform("phase", OBJECTS, low=0, high=6.28)),
        shown=with_backdrop(
            1.0, street.float(), (torch.arange(OBJECTS, device=random.device) < number[:, None]).float()
        ),
        photo=photo,
        u=within("u", wide, half_w),
        v=within("v", tall, half_h),
        step_u=step * mirror,
        step_v=step,
        per_m=with_backdrop(
            0.0, random.log_uniform("per metre", low=8, high=60), torch.zeros(objects, device=random.device)
        ),
    )
    return cameras, surfaces


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


def _drawn(surfaces: _Surfaces) -> _Drawn:
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
    atlas: PhotoAtlas, surfaces: _Surfaces, cameras: Cameras, size: tuple[int, int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Render both views, (B, 2, 3, H, W) in [0, 255], and their disparity (B, 2, H, W); nearest surfaces win."""
    height, width = size
    drawn = _drawn(surfaces)
    device = drawn.d0.device
    surfaces = _Surfaces(*(getattr(surfaces, f.name).repeat_interleave(2, 0) for f in fields(surfaces)))
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

    colours = torch.cat([shade(*part) for part in zip(*(t.split(CHUNK) for t in (first, row_of, column)))], dim=1)
    edge = (opaque < 1).nonzero()[:, 0]
    colours[:, edge] = torch.lerp(shade(*(t.index_select(0, edge) for t in (second, row_of, column))), colours[:, edge], opaque[edge])
    disparity = torch.where(opaque > 0.5, first, second) >> 4
    views = colours.reshape(3, -1, 2, height, width).permute(1, 2, 0, 3, 4).contiguous()
    return views, (disparity / KEY_STEPS).reshape(-1, 2, height, width)


def _depth_key(disparity: torch.Tensor, k: torch.Tensor | int) -> torch.Tensor:
    """Return an int32 that is larger for a nearer surface and ends in its number `k`."""
    return (disparity.clamp(0, 4095) * KEY_STEPS).int() * 16 + k


def _objects(
    surfaces: _Surfaces, drawn: _Drawn, size: tuple[int, int]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return flat pixel number, `_depth_key` and opacity of every pixel of every object, (M,) each."""
    height, width = size
    image, k = (surfaces.shown[:, 2:] > 0).nonzero().unbind(1)
    k = k + 2
    row, half_w, half_h, shape, bump, phase = (
        getattr(surfaces, name)[image, k] for name in ("row", "half_width", "half_height", "shape", "bump", "phase")
    )
    d0, dx, dy, s0, sx, sy = (t[image, k] for t in drawn)
    reach = 1.05 * half_h + 1
    top = (row - reach).floor().clamp(0, height).long()
    tall = (row + reach).ceil().clamp(0, height).long() - top
    middle, lean = -(s0 + sy * row) / sx, (sy * reach / sx).abs()
    reach = lean + (1.05 * half_w + 1) / sx
    left = (middle - reach).floor().clamp(0, width).long()
    wide = (middle + reach).ceil().clamp(0, width).long() - left
    count = tall * wide
    thing = torch.repeat_interleave(count)

    def of(values: torch.Tensor, things: torch.Tensor = thing) -> torch.Tensor:
        return values.index_select(0, things)

    number = torch.arange(len(thing), device=thing.device) - of(count.cumsum(0) - count)
    v = torch.div(number, of(wide), rounding_mode="floor")
    u, v = number - v * of(wide) + of(left), v + of(top)
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
    atlas: PhotoAtlas, surfaces: _Surfaces, drawn: _Drawn, cameras: Cameras, y: torch.Tensor
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
