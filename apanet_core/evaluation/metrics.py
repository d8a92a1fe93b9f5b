"""Image quality, per image."""

from __future__ import annotations

import torch
from torchmetrics.functional.image import structural_similarity_index_measure


def psnr(image: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Peak signal-to-noise ratio in dB over all channels: (B, 3, H, W) in [0, 1] -> (B,); at most 100."""
    error = (image.float() - reference.float()).square().flatten(1).mean(dim=1)
    return -10 * torch.log10(error.clamp(min=1e-10))


def ssim(image: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Structural similarity, Gaussian window of 11 px, sigma 1.5: (B, 3, H, W) in [0, 1] -> (B,)."""
    result = structural_similarity_index_measure(
        image.float(), reference.float(), data_range=1.0, sigma=1.5, reduction="none"
    )
    assert isinstance(result, torch.Tensor)
    return result
