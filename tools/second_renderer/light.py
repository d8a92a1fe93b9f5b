"""Conversion between 8-bit sRGB and linear light, in which rain is added."""

from __future__ import annotations

import numpy as np

_CODE = np.arange(256) / 255
SRGB_TO_LINEAR = np.where(_CODE <= 0.04045, _CODE / 12.92, ((_CODE + 0.055) / 1.055) ** 2.4).astype(np.float32)
_LIGHT = np.linspace(0, 1, 1 << 14) ** 2
_SRGB = (255 * np.where(_LIGHT <= 0.0031308, 12.92 * _LIGHT, 1.055 * _LIGHT ** (1 / 2.4) - 0.055)).astype(np.float32)


def to_linear(image: np.ndarray) -> np.ndarray:
    """Convert uint8 sRGB to linear light, float32 in [0, 1]."""
    return SRGB_TO_LINEAR[image]


def to_srgb(light: np.ndarray) -> np.ndarray:
    """Convert linear light to the sRGB scale, float32 in [0, 255], not rounded."""
    index = np.sqrt(np.clip(light, 0, 1)) * np.float32(len(_SRGB) - 1)  # the root spreads the steep dark end
    return _SRGB[np.rint(index).astype(np.int32)]
