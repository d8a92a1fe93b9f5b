"""Training samples, rendered in batches on the training device: every index is another scene in other rain."""

from __future__ import annotations

from dataclasses import replace

import torch

from apanet_core.rain.counter_random import CounterRandom
from apanet_core.rain.night import at_night
from apanet_core.rain.photo_atlas import PhotoAtlas
from apanet_core.rain.random_weather import is_night, random_weather
from apanet_core.rain.scenes import Scenes, in_other_view, occluded, random_scenes
from apanet_core.rain.sensor import Sensor, expose
from apanet_core.rain.variation import blur, misalign, recolour
from apanet_core.rain.weather import render_weather

SINGLE = 0.1  # share of samples with the same photograph in both views
ONE_DRY = 0.12  # share of samples with one dry view
BLOCKED = 0.08  # share of samples with one view covered in part or whole: black, white, mud or skin, another image


@torch.no_grad()
def render_samples(
    atlas: PhotoAtlas,
    size: tuple[int, int],
    seed: int,
    indices: torch.Tensor,
    single_image: float = SINGLE,
    blocked_view: float = BLOCKED,
) -> dict[str, torch.Tensor]:
    """Render a batch.

    Args:
        atlas: photographs, on the device for the batch.
        size: (height, width) of a view in px.
        seed: seed of the samples.
        indices: (B,) int64 numbers of the samples.
        single_image: share of samples whose left and right view are the same photograph.
        blocked_view: share of samples with one view covered in part or whole.

    Returns:
        rainy_left, rainy_right, clean_left, clean_right: (B, 3, H, W) uint8 RGB. left_disparity, right_disparity:
        (B, H, W) float32 px, NaN where the other view does not show the point. left_judged, right_judged: (B,)
        float32, 0 for a blocked view, which does not count in the loss.
    """
    random = CounterRandom(seed, indices.to(atlas.pixels.device))
    scenes = random_scenes(atlas, size, random)
    weather = random_weather(random)
    veiled = (weather.rain.rate_mm_h > 0) & (weather.rain.veil > 0)
    scenes = Scenes(recolour(scenes.views, random, veiled), scenes.disparity, scenes.cameras)
    rows = is_night(random).nonzero()[:, 0]
    if len(rows):
        scenes.views.index_copy_(0, rows, at_night(scenes.of(rows), random.of(rows)))
    known = torch.where(occluded(scenes.disparity), torch.nan, scenes.disparity)
    views, disparity = misalign(scenes.views, known, random)
    scenes = Scenes(views.round(), scenes.disparity, scenes.cameras)
    rainy, _ = render_weather(scenes, replace(weather, sensor=Sensor()), random)
    rainy, clean = blur(rainy, random).round(), blur(scenes.views, random).round()
    rainy = expose(rainy, weather.sensor, random)

    single = random.happens("single", single_image)
    rows = single.nonzero()[:, 0]
    rainy[rows, 1], clean[rows, 1] = rainy[rows, 0], clean[rows, 0]
    disparity[rows] = 0.0

    special = random.uniform("one view")
    one_dry, blocked = special < ONE_DRY, (special >= ONE_DRY) & (special < ONE_DRY + blocked_view)
    side = random.integer("which view", 2)
    rows = (one_dry & ~single).nonzero()[:, 0]
    rainy[rows, side[rows]] = clean[rows, side[rows]]
    rows = (blocked & ~single).nonzero()[:, 0]
    covered = torch.zeros_like(disparity, dtype=torch.bool)
    covered[rows, side[rows]] = _block(rainy, rows, side[rows], random.of(rows))
    match_covered, inside = in_other_view(covered, disparity)
    disparity = torch.where(covered | match_covered | ~inside, torch.nan, disparity)

    rainy, clean = rainy.round().to(torch.uint8), clean.round().to(torch.uint8)
    judged = 1 - (covered.float().mean((2, 3)) > 0).float()
    batch = {}
    for number, name in enumerate(("left", "right")):
        batch[f"rainy_{name}"], batch[f"clean_{name}"] = rainy[:, number], clean[:, number]
        batch[f"{name}_disparity"], batch[f"{name}_judged"] = disparity[:, number], judged[:, number]
    return {name: value.contiguous() for name, value in batch.items()}


def _block(rainy: torch.Tensor, rows: torch.Tensor, side: torch.Tensor, random: CounterRandom) -> torch.Tensor:
    """Cover half planes or the whole of the views `side` (N,) of samples `rows` (N,); return the part, (N, H, W)."""
    height, width = rainy.shape[-2:]
    y = torch.arange(height, device=rainy.device)[:, None] / height - 0.5
    x = torch.arange(width, device=rainy.device) / width - 0.5
    angle = random.uniform("cover angle", 1, 1, high=6.28)
    reach = torch.where(random.happens("covered whole", 0.4), 9.0, random.uniform("cover reach", low=-0.2, high=0.5))
    covered = x * angle.cos() + y * angle.sin() < reach[:, None, None]
    kind = random.integer("cover kind", 4)[:, None, None, None]
    mud = random.uniform("mud", 3, 1, 1, low=20, high=230) + random.uniform("shade", 1, 1, 1, high=60) * (x + y)
    mud = mud + random.uniform("grain", 1, 1, 1, high=5) * random.normal("grains", 3, height, width)
    other = rainy[rows, 1 - side].flip(-1, -2)  # an unrelated image: the other view upside down
    shown = torch.where(kind == 0, 2.0, torch.where(kind == 1, 253.0, torch.where(kind == 2, mud, other)))
    rainy[rows, side] = torch.where(covered[:, None], shown.clamp(0, 255), rainy[rows, side])
    return covered
