"""Conversion between 8-bit sRGB and linear light, in which rain is added."""

from __future__ import annotations

from functools import cache

import torch

STEPS = 1 << 14  # light of the table of `to_srgb`


def to_linear(views: torch.Tensor) -> torch.Tensor:
    """Convert sRGB, whole numbers from 0 to 255, to linear light in [0, 1], float32."""
    return _to_linear_table(views.device).index_select(0, views.int().flatten()).reshape(views.shape)


def to_srgb(light: torch.Tensor) -> torch.Tensor:
    """Convert linear light to the sRGB scale, clipped to [0, 255], not rounded."""
    place = light.clamp(0, 1).sqrt_().mul_(STEPS - 1).round_().int()  # the root spreads the steep dark end
    return _to_srgb_table(light.device).index_select(0, place.flatten()).reshape(light.shape)


@cache
def _to_linear_table(device: torch.device) -> torch.Tensor:
    code = torch.arange(256, dtype=torch.float64) / 255
    light = torch.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
    return light.float().to(device)


@cache
def _to_srgb_table(device: torch.device) -> torch.Tensor:
    light = torch.linspace(0, 1, STEPS, dtype=torch.float64) ** 2
    code = torch.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return (255 * code).float().to(device)
