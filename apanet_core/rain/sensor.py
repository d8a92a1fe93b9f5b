"""Effects of a camera: gain, noise, quantisation, JPEG."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from apanet_core.rain.counter_random import CounterRandom
from apanet_core.rain.light import to_linear, to_srgb
from apanet_core.rain.records import Number, with_dims

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


@dataclass(frozen=True)
class Sensor:
    """Sensor properties of the two cameras of a pair; every value is a number, or a tensor (B,).

    Args:
        noise: standard deviation of the noise in grey levels, independent in the views.
        gain_spread: standard deviation of the logarithm of a camera's gain, which also applies to the clean view.
        jpeg_quality: 1 to 100; 0: no compression.

    Raises:
        ValueError: a number is out of its range.
    """

    noise: Number = 0.0
    gain_spread: Number = 0.0
    jpeg_quality: Number = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.noise, torch.Tensor):
            return
        if not (0 <= self.noise <= 255 and 0 <= self.gain_spread <= 2):
            raise ValueError(f"noise is 0 to 255 and gain_spread 0 to 2: got {self.noise}, {self.gain_spread}")
        if not 0 <= self.jpeg_quality <= 100:
            raise ValueError(f"jpeg_quality must be 1 to 100, or 0 for none: got {self.jpeg_quality}")


def apply_camera_gains(views: torch.Tensor, spread: torch.Tensor, random: CounterRandom) -> torch.Tensor:
    """Apply the gain of each camera in linear light; call it before the rain.

    Args:
        views: (B, 2, 3, H, W), whole numbers from 0 to 255.
        spread: (B,), standard deviation of the logarithm of the gain.
        random: random numbers of the samples.

    Returns:
        Views of the same shape, whole numbers.
    """
    gains = (spread[:, None] * random.normal("camera gain", 2)).exp()[:, :, None, None, None]
    return to_srgb(gains * to_linear(views)).round()


def expose(views: torch.Tensor, sensor: Sensor, random: CounterRandom) -> torch.Tensor:
    """Add noise and JPEG to rainy pairs.

    Args:
        views: (B, 2, 3, H, W) in [0, 255].
        sensor: tensors (B,).
        random: random numbers of the samples.

    Returns:
        Views of the same shape, whole numbers.
    """
    rows = (sensor.noise > 0).nonzero()[:, 0]
    if len(rows):
        level = with_dims(sensor.noise.index_select(0, rows), 5)
        views = views.index_add(0, rows, level * random.of(rows).normal("noise", *views.shape[1:])).clamp_(0, 255)
    views = views.round()
    rows = (sensor.jpeg_quality > 0).nonzero()[:, 0]
    if len(rows):
        quality = sensor.jpeg_quality.index_select(0, rows).repeat_interleave(2)
        pressed = compress(views.index_select(0, rows).flatten(0, 1), quality)
        views = views.index_copy(0, rows, pressed.reshape(-1, *views.shape[1:]))
    return views


def compress(images: torch.Tensor, quality: torch.Tensor) -> torch.Tensor:
    """Apply JPEG to `images` (N, 3, H, W) in [0, 255], without subsampling, at `quality` (N,) from 1 to 100."""
    size = images.shape[-2:]
    images = F.pad(images, (0, -size[1] % 8, 0, -size[0] % 8), mode="replicate")
    n, _, height, width = images.shape
    red, green, blue = images.unbind(1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    planes = torch.stack([luma - 128, 0.564 * (blue - luma), 0.713 * (red - luma)], dim=1)
    blocks = planes.reshape(n, 3, height // 8, 8, width // 8, 8).transpose(3, 4)
    k = torch.arange(8, device=images.device).float()
    basis = torch.cos((2 * k[None] + 1) * k[:, None] * torch.pi / 16) / 2
    basis[0] /= 2**0.5
    table = torch.tensor(_LUMINANCE, device=images.device).float()
    scale = torch.where(quality < 50, 50 / quality, 2 - quality / 50)[:, None, None]
    luminance = (table * scale).round().clamp(min=1)
    chroma = ((table * 1.4).clamp(max=99) * scale).round().clamp(min=1)
    steps = torch.stack([luminance, chroma, chroma], dim=1)[:, :, None, None]
    spectrum = basis @ blocks @ basis.T
    blocks = basis.T @ ((spectrum / steps).round() * steps) @ basis
    luma, b, r = blocks.transpose(3, 4).reshape(n, 3, height, width).unbind(1)
    luma, red, blue = luma + 128, luma + 128 + r / 0.713, luma + 128 + b / 0.564
    green = (luma - 0.299 * red - 0.114 * blue) / 0.587
    return torch.stack([red, green, blue], dim=1).clamp(0, 255).round()[..., : size[0], : size[1]]
