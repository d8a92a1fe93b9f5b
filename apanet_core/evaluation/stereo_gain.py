"""Measure how much the second view improves a model's result, and whether its attention finds the match."""

from __future__ import annotations

import numpy as np
import torch

from apanet_core.derainer import StereoDerainer
from apanet_core.evaluation.depth import bad_pixel_rate
from apanet_core.images.metrics import psnr

Views = tuple[np.ndarray, np.ndarray]


def has_attention(derainer: StereoDerainer) -> bool:
    """Whether `StereoDerainer.with_disparity` works: the engine is torch, and the network attends along rows."""
    return derainer.engine.name == "torch" and bool(
        derainer.config.matching_channels or derainer.config.parallax_levels
    )


def stereo_gain(
    derainer: StereoDerainer, rainy: Views, clean: Views, derained: np.ndarray, disparity: np.ndarray
) -> dict[str, float]:
    """Derain the left view with other right views, and compare the results with that of the true pair.

    Args:
        derainer: the model.
        rainy: left and right, (H, W, 3) uint8 RGB.
        clean: left and right, of the same shape.
        derained: the left view, derained with its rainy right view.
        disparity: (H, W) px of the left view, not finite where unknown.

    Returns:
        stereo_gain_db: PSNR of the left view with its right view minus that with the left view given twice.
        clean_partner_db: PSNR with the clean right view minus that with the rainy one.
        attention_wrong_percent: share of pixels whose attention is more than 3 px from `disparity`; NaN if the model
        has no parallax attention or the engine is not torch.
    """
    left, right = rainy
    wrong = float("nan")
    if has_attention(derainer):
        wrong = 100 * bad_pixel_rate(derainer.with_disparity(left, right).disparity_px, disparity)
    views = np.stack([derained, derainer(left, left)[0], derainer(left, clean[1])[0]])
    images, truth = (torch.from_numpy(v).permute(0, 3, 1, 2).float() / 255 for v in (views, np.stack([clean[0]] * 3)))
    own_db, twice_db, clean_db = psnr(images, truth).tolist()
    return {
        "stereo_gain_db": own_db - twice_db,
        "clean_partner_db": clean_db - own_db,
        "attention_wrong_percent": wrong,
    }
