"""Vary clean training pairs: exposure, contrast, colour, focus, and what makes the views of a real pair differ."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from apanet_core.rain.counter_random import CounterRandom
from apanet_core.rain.records import with_dims

PLAIN, COLOURED = 0.2, 0.25  # shares of pairs of low contrast, and in light that is not white
GAIN_SPREAD = 0.05  # between the cameras of a pair, in every other sample
MISALIGNED_PX = 1.2  # largest error of the calibration, in three of four samples
RELIEF_PX = 3.0  # largest displacement of details that are not flat (leaves, gloss), in two of three samples
RELIEF_CELL = 8  # px between displacements that are drawn
SNOWY = 0.05  # share of pairs that are nearly white
DEFOCUSED, SHAKEN = 0.33, 0.1  # shares of pairs that are blurred by the lenses, and by the motion of the cameras
AROUND = ((0, 1), (1, 0))  # rows and columns from a pixel to its neighbours on one side
MOTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))  # directions of motion
SOFTENED = 0.3  # largest weight of the neighbours in the view of a softer lens, in one of three samples
LUSTRE = 0.06  # largest relative difference in brightness with which the cameras see a part of the scene


def recolour(views: torch.Tensor, random: CounterRandom, veiled: torch.Tensor) -> torch.Tensor:
    """Vary exposure, contrast and colour of clean pairs (B, 2, 3, H, W), equally in both views.

    Samples that will be `veiled`, (B,) bool, keep their contrast: a network cannot tell a veil from a plain scene.
    """
    gamma = random.normal("gamma").mul(0.25).exp()
    gain = random.uniform("gain", low=0.6, high=1.15)
    # not `pow`: it rounds the last pixels of a batch otherwise
    views = (views / 255).clamp_(min=1e-4).log_().mul_(with_dims(gamma, 5)).exp_().mul_(with_dims(gain, 5)).clamp_(0, 1)
    chance = random.uniform("saturation")
    grey = torch.where(chance < 0.6, 0, torch.where(chance < 0.7, 1, (chance - 0.7) / 0.3))
    luma = (views * torch.tensor([0.299, 0.587, 0.114], device=views.device)[:, None, None]).sum(2, keepdim=True)
    views.add_(with_dims(grey, 5) * (luma - views))
    contrast = torch.where(random.happens("plain", PLAIN) & ~veiled, random.uniform("contrast", low=0.2), 1.0)
    middle = views.mean((1, 3, 4), keepdim=True, dtype=torch.float64).float()  # equal on any device
    views.sub_(middle).mul_(with_dims(contrast, 5)).add_(middle)
    white = random.happens("snowy", SNOWY) * random.uniform("white", low=0.6, high=0.9)
    views.add_(with_dims(white, 5) * (1 - views))
    colour = torch.where(random.happens("coloured", COLOURED)[:, None], 0.3 * random.normal("colour of light", 3), 0.0)
    colour = (colour - colour.amax(1, keepdim=True)).exp()[:, None, :]
    spread = GAIN_SPREAD * random.happens("own gains", 0.5).float()[:, None]
    own = (spread / 2.2 * random.normal("camera gain", 2)).exp()[:, :, None]
    return views.mul_((255 * own * colour)[..., None, None]).clamp_(0, 255).round_()


def blur(views: torch.Tensor, random: CounterRandom) -> torch.Tensor:
    """Blur some pairs (B, 2, 3, H, W) as a whole: by defocus, and by motion over up to 7 px."""
    defocus = random.happens("defocused", DEFOCUSED) * random.uniform("defocus", high=0.5)
    views = _soften(views, defocus[:, None].expand(-1, 2))
    shake = random.happens("shaken", SHAKEN) * random.uniform("shake", low=0.2, high=0.67)
    towards = random.integer("motion", len(MOTIONS))
    for number, (down, across) in enumerate(MOTIONS):
        amount = (shake * (towards == number))[:, None].expand(-1, 2)
        for px in (1, 2):
            views = _soften(views, amount, ((px * down, px * across),))
    return views


def _soften(
    views: torch.Tensor, amount: torch.Tensor, neighbours: tuple[tuple[int, int], ...] = AROUND
) -> torch.Tensor:
    """Blend the pixels of `views` (B, N, C, H, W) with the mean of their neighbours, by `amount` (B, N).

    `neighbours` are rows and columns from a pixel to its neighbours on one side; those on the other side count as well.
    """
    rows = (amount > 0).flatten().nonzero()[:, 0]
    if not len(rows):
        return views
    images, (height, width) = views.flatten(0, 1), views.shape[-2:]
    sharp = images.index_select(0, rows)
    margin = max(max(abs(step) for step in way) for way in neighbours)
    wide = F.pad(sharp, (margin,) * 4, mode="replicate")
    places = [(margin + side * down, margin + side * across) for down, across in neighbours for side in (-1, 1)]
    mean = torch.stack([wide[..., y : y + height, x : x + width] for y, x in places]).mean(0)
    weight = amount.flatten().index_select(0, rows)[:, None, None, None]
    return images.index_copy(0, rows, torch.lerp(sharp, mean, weight)).reshape_as(views)


def smooth(field: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Interpolate a coarse field (B, C, h, w) to `size` (height, width): smooth, at little cost."""
    between = max(1, size[0] // 8), max(1, size[1] // 8)
    return F.interpolate(F.interpolate(field, between, mode="bicubic"), size, mode="bilinear")


def _relief(size: tuple[int, int], random: CounterRandom) -> torch.Tensor:
    """Return displacements in px of fine structure in parts of the view: (B, 2, H, W)."""
    height, width = (-(-length // RELIEF_CELL) + 1 for length in size)
    amount = torch.where(random.happens("has relief", 0.67), random.uniform("relief amount", high=RELIEF_PX), 0)
    fine = F.interpolate(random.uniform("relief", 2, height, width, low=-1, high=1), size, mode="bilinear")
    where = smooth(random.uniform("relief where", 1, 4, 6, low=-0.5, high=2.0), size)
    return amount[:, None, None, None] * where.clamp(0, 1) * fine


def misalign(views: torch.Tensor, disparity: torch.Tensor, random: CounterRandom) -> tuple[torch.Tensor, torch.Tensor]:
    """Warp, soften and light the right views of clean pairs slightly.

    Real calibration has errors (smooth), surfaces are not planes and look different from both sides (fine, in parts of
    the view), and lenses differ: a network trained on exact pairs would trust the other view to a tenth of a pixel.

    Args:
        views: (B, 2, 3, H, W).
        disparity: (B, 2, H, W) px, left first; NaN stays NaN.
        random: random numbers of the samples.

    Returns:
        Views and their disparity, of the same shapes.
    """
    height, width = size = (views.shape[-2], views.shape[-1])
    amount = torch.where(random.happens("misaligned", 0.75), random.uniform("misalignment", high=MISALIGNED_PX), 0)
    shift = amount[:, None, None, None] * random.uniform("shift", 2, 3, 5, low=-1, high=1)
    shift = smooth(shift, size) + _relief(size, random)
    y = torch.arange(height, device=views.device)[:, None] + 0.5 + shift[:, 1]
    x = torch.arange(width, device=views.device) + 0.5 + shift[:, 0]
    grid = torch.stack([2 * x / width - 1, 2 * y / height - 1], dim=-1)
    moved = F.grid_sample(views[:, 1], grid, padding_mode="border", align_corners=False)
    softness = random.happens("softer", 0.33) * random.uniform("softness", high=SOFTENED)
    moved = _soften(moved[:, None], softness[:, None])
    lustre = LUSTRE * random.happens("lustrous", 0.5)[:, None, None, None] * random.uniform("lustre", 1, 4, 6, low=-1)
    moved = moved * (1 + smooth(lustre, size))[:, None]
    views = torch.cat([views[:, :1], moved.clamp_(0, 255)], dim=1)

    # A right pixel shows the point that was `shift` px further to the right; its match has moved by as much.
    left, right = disparity.unbind(1)
    seen_at = (torch.arange(width, device=views.device) - left.nan_to_num()).round().long().clamp(0, width - 1)
    left = left + shift[:, 0].gather(-1, seen_at)
    right = F.grid_sample(right[:, None], grid, "nearest", "border", align_corners=False)[:, 0] + shift[:, 0]
    return views, torch.stack([left, right], dim=1).clamp(min=0)
