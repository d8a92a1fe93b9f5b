"""What the second view is worth to a model, and whether it finds its match there."""

from __future__ import annotations

import numpy as np
import torch

from apanet_core.derainer import StereoDerainer
from apanet_core.evaluation.depth import bad_pixel_rate
from apanet_core.images.metrics import psnr

Views = tuple[np.ndarray, np.ndarray]


def stereo_gain(
    derainer: StereoDerainer, rainy: Views, clean: Views, derained: np.ndarray, disparity: np.ndarray
) -> dict[str, float]:
    """Derain the left view with other partners than its own.

    Args:
        derainer: the model.
        rainy: left and right, (H, W, 3) uint8 RGB.
        clean: left and right, of the same shape.
        derained: the left view, derained with its own partner.
        disparity: (H, W) px of the left view, not finite where unknown.

    Returns:
        stereo_gain_db: PSNR of the left view with its own partner minus that with the view given twice.
        clean_partner_db: PSNR with the clean right view minus that with its own rainy one.
        attention_wrong_percent: pixels whose attention lies more than 3 px from `disparity`; not a number where the
        model has no attention to read, or the engine is not torch.
    """
    left, right = rainy
    wrong = float("nan")
    config = derainer.config
    if derainer.engine.name == "torch" and (config.matching_channels or config.parallax_levels):
        wrong = 100 * bad_pixel_rate(derainer.with_disparity(left, right).disparity_px, disparity)
    views = np.stack([derained, derainer(left, left)[0], derainer(left, clean[1])[0]])
    images, truth = (torch.from_numpy(v).permute(0, 3, 1, 2).float() / 255 for v in (views, np.stack([clean[0]] * 3)))
    own_db, twice_db, clean_db = psnr(images, truth).tolist()
    return {
        "stereo_gain_db": own_db - twice_db,
        "clean_partner_db": clean_db - own_db,
        "attention_wrong_percent": wrong,
    }
