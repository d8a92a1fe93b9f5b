"""Effects of a camera: tone and gain of the clean pair, noise and compression of the rainy one."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from apanet_core.rain.batched.counter_random import CounterRandom

PLAIN, COLOURED = 0.2, 0.25  # shares of pairs of low contrast, and in light that is not white
GAIN_SPREAD = 0.05  # between the cameras of a pair, in every other sample
MISALIGNED_PX = 1.2  # largest error of the calibration, in three of four samples
RELIEF_PX = 3.0  # largest displacement of details that are not flat (leaves, gloss), in two of three samples
RELIEF_CELL = 8  # px between displacements that are drawn
SOFTENED = 0.3  # largest weight of the neighbours in the view of a softer lens, in one of three samples
LUSTRE = 0.06  # largest relative difference in brightness with which the cameras see a part of the scene
# Quantisation of 8x8 blocks, ITU-T T.81 annex K.
_LUMINANCE = [
    [16, 11, 10, 16, 24, 40, 51, 61],
    [12, 12, 14, 19, 26, 58, 60, 55],
    [14, 13, 16, 24, 40, 57, 69, 56],
    [14, 17, 22, 29, 51, 87, 80, 62],
    [18, 22, 37, 56, 68, 109, 103, 77],
    [24, 35, 55, 64, 81, 104, 113, 92],
    [49, 64, 78, 87, 103, 121, 120, 101],
    [72, 92, 95, 98, 112, 100, 103, 99],
]


def recolour(views: torch.Tensor, random: CounterRandom, veiled: torch.Tensor) -> torch.Tensor:
    """Vary exposure, contrast, colour and sharpness of clean pairs (B, 2, 3, H, W), equally in both views.

    Samples that will be `veiled`, (B,) bool, keep their contrast: a network cannot tell a veil from a plain scene.
    """
    gamma = random.normal("gamma").mul(0.25).exp()[:, None, None, None, None]
    gain = random.uniform("gain", 1, 1, 1, 1, low=0.6, high=1.15)
    views = (gain * (views / 255).clamp(min=1e-4) ** gamma).clamp(0, 1)
    chance = random.uniform("saturation")
    grey = torch.where(chance < 0.6, 0, torch.where(chance < 0.7, 1, (chance - 0.7) / 0.3))[:, None, None, None, None]
    weights = torch.tensor([0.299, 0.587, 0.114], device=views.device)[:, None, None]
    views = views + grey * ((views * weights).sum(2, keepdim=True) - views)
    contrast = torch.where(random.happens("plain", PLAIN) & ~veiled, random.uniform("contrast", low=0.2), 1.0)
    middle = views.mean((1, 3, 4), keepdim=True)
    views = middle + contrast[:, None, None, None, None] * (views - middle)
    colour = torch.where(random.happens("coloured", COLOURED)[:, None], 0.3 * random.normal("colour of light", 3), 0.0)
    views = views * (colour - colour.amax(1, keepdim=True)).exp()[:, None, :, None, None]
    # a soft lens: a small triangular blur in one of three samples
    blur = torch.where(random.happens("defocused", 0.33), random.uniform("defocus", high=0.25), 0)[
        :, None, None, None, None
    ]
    views = views + blur * (_neighbours(views.flatten(0, 1)).reshape_as(views) - views)
    spread = GAIN_SPREAD * random.happens("own gains", 0.5).float()[:, None]
    own = (spread * random.normal("camera gain", 2)).exp()[:, :, None, None, None]
    return (255 * own ** (1 / 2.2) * views).clamp(0, 255).round()


def _neighbours(images: torch.Tensor) -> torch.Tensor:
    """Return the mean of the four neighbours of each pixel of `images` (N, C, H, W)."""
    wide = F.pad(images, (1, 1, 1, 1), mode="replicate")
    return (wide[..., 1:-1, :-2] + wide[..., 1:-1, 2:] + wide[..., :-2, 1:-1] + wide[..., 2:, 1:-1]) / 4


def _relief(size: tuple[int, int], random: CounterRandom) -> torch.Tensor:
    """Return displacements in px of fine structure in parts of the view: (B, 2, H, W)."""
    height, width = (-(-length // RELIEF_CELL) + 1 for length in size)
    amount = torch.where(random.happens("relief", 0.67), random.uniform("relief amount", high=RELIEF_PX), 0)
    fine = F.interpolate(random.uniform("relief", 2, height, width, low=-1, high=1), size, mode="bilinear")
    where = F.interpolate(random.uniform("relief where", 1, 4, 6, low=-0.5, high=2.0), size, mode="bicubic")
    return amount[:, None, None, None] * where.clamp(0, 1) * fine


def misalign(views: torch.Tensor, disparity: torch.Tensor, random: CounterRandom) -> tuple[torch.Tensor, torch.Tensor]:
    """Warp, soften and light the right views of clean pairs slightly.

    Real calibration has errors (smooth), surfaces are not planes and look different from both sides (fine, in parts of
    the view), and lenses differ: a network trained on exact pairs would trust the other view to a tenth of a pixel.

    Args:
        views: (B, 2, 3, H, W).
        disparity: (B, 2, H, W) px, left first.
        random: random numbers of the samples.

    Returns:
        Views and their disparity, of the same shapes.
    """
    height, width = size = (views.shape[-2], views.shape[-1])
    amount = torch.where(random.happens("misaligned", 0.75), random.uniform("misalignment", high=MISALIGNED_PX), 0)
    shift = amount[:, None, None, None] * random.uniform("shift", 2, 3, 5, low=-1, high=1)
    shift = F.interpolate(shift, size, mode="bicubic") + _relief(size, random)
    y = torch.arange(height, device=views.device)[:, None] + 0.5 + shift[:, 1]
    x = torch.arange(width, device=views.device) + 0.5 + shift[:, 0]
    grid = torch.stack([2 * x / width - 1, 2 * y / height - 1], dim=-1)
    moved = F.grid_sample(views[:, 1], grid, padding_mode="border", align_corners=False)
    softness = torch.where(random.happens("softer", 0.33), random.uniform("softness", high=SOFTENED), 0)
    moved = moved + softness[:, None, None, None] * (_neighbours(moved) - moved)
    lustre = 1 + LUSTRE * F.interpolate(random.uniform("lustre", 1, 4, 6, low=-1, high=1), size, mode="bicubic")
    lustrous = random.happens("lustrous", 0.5)[:, None, None, None]
    views = torch.stack([views[:, 0], torch.where(lustrous, moved * lustre, moved).clamp(0, 255)], dim=1)

    # A right pixel shows the point that was `shift` px further to the right; its match has moved by as much.
    left, right = disparity.unbind(1)
    seen_at = (torch.arange(width, device=views.device) - left).round().long().clamp(0, width - 1)
    left = left + shift[:, 0].gather(-1, seen_at)
    right = F.grid_sample(right[:, None], grid, "nearest", "border", align_corners=False)[:, 0] + shift[:, 0]
    return views, torch.stack([left, right], dim=1).clamp(min=0)


def expose(views: torch.Tensor, random: CounterRandom, dry: torch.Tensor) -> torch.Tensor:
    """Add noise and JPEG to rainy pairs (B, 2, 3, H, W) in [0, 255]; `dry` (B,) ones are unchanged."""
    noisy = (random.happens("noisy", 0.35) & ~dry).nonzero()[:, 0]
    if len(noisy):
        level = random.uniform("noise", high=2.5)[noisy][:, None, None, None, None]
        views = views.index_add(0, noisy, level * random.of(noisy).normal("noise", *views.shape[1:]))
    views = views.clamp(0, 255).round()
    packed = (random.happens("compressed", 0.2) & ~dry).nonzero()[:, 0]
    if len(packed):
        quality = random.uniform("quality", low=70, high=98)[packed]
        views = views.clone()
        views[packed] = compress(views[packed].flatten(0, 1), quality.repeat_interleave(2)).reshape(
            len(packed), *views.shape[1:]
        )
    return views


def compress(images: torch.Tensor, quality: torch.Tensor) -> torch.Tensor:
    """Apply JPEG to `images` (N, 3, H, W) in [0, 255], H and W multiples of 8, at `quality` (N,) from 50 to 100."""
    n, _, height, width = images.shape
    red, green, blue = images.unbind(1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    planes = torch.stack([luma - 128, 0.564 * (blue - luma), 0.713 * (red - luma)], dim=1)
    blocks = planes.reshape(n, 3, height // 8, 8, width // 8, 8).transpose(3, 4)
    k = torch.arange(8, device=images.device).float()
    basis = torch.cos((2 * k[None] + 1) * k[:, None] * torch.pi / 16) / 2
    basis[0] /= 2**0.5
    table = torch.tensor(_LUMINANCE, device=images.device).float()
    scale = (2 - quality / 50)[:, None, None]
    luminance = (table * scale).round().clamp(min=1)
    chroma = ((table * 1.4).clamp(max=99) * scale).round().clamp(min=1)
    steps = torch.stack([luminance, chroma, chroma], dim=1)[:, :, None, None]
    spectrum = basis @ blocks @ basis.T
    blocks = basis.T @ ((spectrum / steps).round() * steps) @ basis
    luma, b, r = blocks.transpose(3, 4).reshape(n, 3, height, width).unbind(1)
    luma, red, blue = luma + 128, luma + 128 + r / 0.713, luma + 128 + b / 0.564
    green = (luma - 0.299 * red - 0.114 * blue) / 0.587
    return torch.stack([red, green, blue], dim=1).clamp(0, 255).round()
