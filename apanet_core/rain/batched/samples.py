"""Training samples, rendered in batches on the training device: every index is another scene in other rain."""

from __future__ import annotations

import torch

from apanet_core.rain.batched.counter_random import CounterRandom
from apanet_core.rain.batched.photo_atlas import PhotoAtlas
from apanet_core.rain.batched.scenes import Scenes, occluded, random_scenes
from apanet_core.rain.batched.sensor import expose, misalign, recolour
from apanet_core.rain.batched.weather import is_dry, is_veiled, rain_on

SINGLE = 0.1  # share of samples with the same photograph in both views
ONE_DRY = 0.12  # share of samples with one dry view
BLOCKED = 0.08  # share of samples with one view covered in part or whole: black, white, mud or another image


@torch.no_grad()
def render_samples(
    atlas: PhotoAtlas, size: tuple[int, int], seed: int, indices: torch.Tensor, single_image: float = SINGLE
) -> dict[str, torch.Tensor]:
    """Render a batch.

    Args:
        atlas: photographs, on the device for the batch.
        size: (height, width), multiples of 8.
        seed: seed of the samples.
        indices: (B,) int64 numbers of the samples.
        single_image: share of samples whose left and right view are the same photograph.

    Returns:
        rainy_left, rainy_right, clean_left, clean_right: (B, 3, H, W) uint8 RGB. left_disparity, right_disparity:
        (B, H, W) float32 px, NaN where the other view does not show the point. left_judged, right_judged: (B,)
        float32, 0 for a blocked view, which does not count in the loss.
    """
    random = CounterRandom(seed, indices.to(atlas.pixels.device))
    scenes = random_scenes(atlas, size, random)
    hidden = occluded(scenes.disparity)
    views, disparity = misalign(scenes.views, scenes.disparity, random)
    scenes = Scenes(recolour(views, random, is_veiled(random)), scenes.disparity, scenes.cameras)
    rainy = expose(rain_on(scenes, random), random, is_dry(random))
    clean, disparity = scenes.views, torch.where(hidden, torch.nan, disparity)

    single = random.happens("single", single_image)[:, None, None, None, None]
    rainy = torch.where(single, rainy[:, :1], rainy)
    clean = torch.where(single, clean[:, :1], clean)
    disparity = torch.where(single[:, 0], 0.0, disparity)

    special = random.uniform("one view")
    one_dry, blocked = special < ONE_DRY, (special >= ONE_DRY) & (special < ONE_DRY + BLOCKED)
    side = random.integer("which view", 2)[:, None] == torch.arange(2, device=rainy.device)  # (B, 2)
    bare = (one_dry & ~single[:, 0, 0, 0, 0])[:, None] & side
    rainy = torch.where(bare[:, :, None, None, None], clean, rainy)
    rainy, covered = _block(rainy, (blocked & ~single[:, 0, 0, 0, 0])[:, None] & side, random)
    disparity = torch.where(covered | covered.flip(1), torch.nan, disparity)

    rainy, clean = rainy.round().to(torch.uint8), clean.round().to(torch.uint8)
    judged = 1 - (covered.float().mean((2, 3)) > 0).float()
    batch = {}
    for number, name in enumerate(("left", "right")):
        batch[f"rainy_{name}"], batch[f"clean_{name}"] = rainy[:, number], clean[:, number]
        batch[f"{name}_disparity"], batch[f"{name}_judged"] = disparity[:, number], judged[:, number]
    return {name: value.contiguous() for name, value in batch.items()}


def _block(rainy: torch.Tensor, which: torch.Tensor, random: CounterRandom) -> tuple[torch.Tensor, torch.Tensor]:
    """Cover half planes or the whole of the views `which` (B, 2); also return the covered part, (B, 2, H, W) bool."""
    height, width = rainy.shape[-2:]
    y = torch.arange(height, device=rainy.device)[:, None] / height - 0.5
    x = torch.arange(width, device=rainy.device) / width - 0.5
    angle = random.uniform("cover angle", 1, 1, 1, high=6.28)
    reach = torch.where(random.happens("covered whole", 0.4), 9.0, random.uniform("cover", low=-0.2, high=0.5))
    covered = (x * angle.cos() + y * angle.sin() < reach[:, None, None, None]) & which[:, :, None, None]
    kind = random.integer("cover kind", 4)[:, None, None, None, None]
    mud = random.uniform("mud", 1, 3, 1, 1, low=20, high=90)
    other = rainy.roll(1, 1).flip(-1, -2)  # an unrelated image: the other view upside down
    shown = torch.where(kind == 0, 2.0, torch.where(kind == 1, 253.0, torch.where(kind == 2, mud, other)))
    return torch.where(covered[:, :, None], shown, rainy), covered
