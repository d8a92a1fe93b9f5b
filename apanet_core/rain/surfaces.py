"""Random surfaces of scenes: planes in disparity with textures, as walls, streets, and objects in front of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from apanet_core.rain.counter_random import CounterRandom
from apanet_core.rain.photo_atlas import PhotoAtlas

OBJECTS = 7
STREETS = 0.45  # share of the scenes
WHOLE_PHOTOS = 0.5  # share of the streets
LARGEST_DISPARITY = 0.45  # share of the width; `LARGEST_DISPARITY_PX` also limits it
LARGEST_DISPARITY_PX = 185.0
FOREVER = 1e6  # px: half size of an unlimited surface


@dataclass(frozen=True)
class Cameras:
    """Stereo cameras of a batch, (B,) each: focal length px, baseline m, principal point of the left view px.

    `offset_px` is the principal point's column in the right view less that in the left view.
    """

    focal_px: torch.Tensor
    baseline_m: torch.Tensor
    cx: torch.Tensor
    cy: torch.Tensor
    offset_px: torch.Tensor


@dataclass(frozen=True)
class Surfaces:
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


def random_surfaces(atlas: PhotoAtlas, size: tuple[int, int], random: CounterRandom) -> tuple[Cameras, Surfaces]:
    """Sample cameras and the surfaces in front of them: surface 0 is the backdrop, surface 1 the ground.

    A share of `STREETS` are streets: ground in perspective, a far backdrop, objects on the ground. In a share of
    `WHOLE_PHOTOS` of these, one photograph with its middle at the horizon lies on ground and backdrop: as in real
    views, what is far is at the horizon, and the veil of rain is thickest there.

    Args:
        atlas: textures of the surfaces.
        size: (height, width) of a view in px.
        random: random numbers, which set batch size and device.

    Returns:
        The cameras, and the surfaces in the order of their layers.
    """
    height, width = size
    largest = min(LARGEST_DISPARITY * width, LARGEST_DISPARITY_PX)
    focal, baseline = random.uniform("focal", low=400, high=1200), random.log_uniform("baseline", low=0.06, high=0.6)
    street = random.happens("street", STREETS)
    horizon = height * torch.where(
        street, random.uniform("horizon", low=-0.1, high=0.8), random.uniform("cy", low=-0.5, high=1.5)
    )
    cx = width * random.uniform("cx", low=-0.5, high=1.5)
    cameras = Cameras(focal, baseline, cx, horizon, torch.zeros_like(cx))

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

    u, v = within("u", wide, half_w), within("v", tall, half_h)
    per_m = random.log_uniform("per metre", low=8, high=60)
    step_u = step * mirror
    # a whole photograph: the ground goes on where the backdrop ends, in the left view
    whole = street & random.happens("whole photograph", WHOLE_PHOTOS)
    at_horizon = tall[:, 0] * random.uniform("photograph's horizon", low=0.4, high=0.6)
    room = (half_h * step)[:, 0]
    middle = at_horizon - step[:, 0] * (horizon - height / 2)
    v[:, 0] = torch.where(whole, torch.minimum(torch.maximum(middle, room), tall[:, 0] - room), v[:, 0])
    for values, backdrop in (
        (photo, photo[:, 0]),
        (u, u[:, 0] + step_u[:, 0] * (cx - width / 2)),
        (v, v[:, 0] + step[:, 0] * (horizon - height / 2)),
        (step, step[:, 0]),
        (step_u, step_u[:, 0]),
    ):
        values[:, 1] = torch.where(whole, backdrop, values[:, 1])

    surfaces = Surfaces(
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
        u=u,
        v=v,
        step_u=step_u,
        step_v=step,
        per_m=with_backdrop(0.0, torch.where(whole, 0.0, per_m), torch.zeros(objects, device=random.device)),
    )
    return cameras, surfaces
