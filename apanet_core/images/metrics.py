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


def luma(image: torch.Tensor) -> torch.Tensor:
    """The Y on which the deraining literature measures PSNR and SSIM: (B, 3, H, W) RGB in [0, 1] -> (B, 1, H, W).

    BT.601 in the studio range, not rounded: black is 16/255 and white 235/255, so an error in grey counts 219/255 of
    what it counts in RGB, which alone lifts the PSNR by 1.3 dB.

    Source: MATLAB's rgb2ycbcr.
    """
    weights = image.new_tensor([65.481, 128.553, 24.966]).float() / 255
    return (image.float() * weights[:, None, None]).sum(dim=1, keepdim=True) + 16 / 255


def brightness_shift(image: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Mean of `image` minus mean of `reference` over all channels, 8-bit scale: (B, 3, H, W) in [0, 1] -> (B,)."""
    return 255 * (image.double() - reference.double()).flatten(1).mean(dim=1)
