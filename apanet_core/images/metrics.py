"""Image quality metrics, one value per image."""

from __future__ import annotations

import math

import torch


def psnr(image: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Return the PSNR in dB over all channels, at most 100: (B, 3, H, W) in [0, 1] -> (B,)."""
    error = (image.float() - reference.float()).square().flatten(1).mean(dim=1)
    return -10 * torch.log10(error.clamp(min=1e-10))


def ssim(image: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Return the SSIM, mean over channels and whole windows: (B, C, H, W) in [0, 1], at least 11x11 px -> (B,).

    Windows are Gaussian, 11 px wide, sigma 1.5. Windows that cross the border are left out, as in MATLAB's script that
    the deraining literature uses. torchmetrics reflects the border instead; the mean differs by up to 0.003.

    Source: Wang et al. 2004, ssim_index.m.
    """
    offsets = [(index - 5) / 1.5 for index in range(11)]
    weights = [math.exp(-offset * offset / 2) for offset in offsets]
    weights = [weight / sum(weights) for weight in weights]

    def mean(values: torch.Tensor) -> torch.Tensor:
        for dim in (2, 3):  # a sum of shifted images: a convolution in double precision is slow on a CPU
            length = values.shape[dim] - 10
            total = weights[0] * values.narrow(dim, 0, length)
            for index in range(1, 11):
                total.add_(values.narrow(dim, index, length), alpha=weights[index])
            values = total
        return values

    x, y = image.double(), reference.double()
    mean_x, mean_y = mean(x), mean(y)
    variances = mean(x * x) - mean_x.square() + mean(y * y) - mean_y.square()
    covariance = mean(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + 0.01**2) / (mean_x.square() + mean_y.square() + 0.01**2)
    return (luminance * (2 * covariance + 0.03**2) / (variances + 0.03**2)).flatten(1).mean(dim=1)


def luma(image: torch.Tensor) -> torch.Tensor:
    """Return the Y on which the deraining literature measures PSNR and SSIM: (B, 3, H, W) in [0, 1] -> (B, 1, H, W).

    BT.601 in the studio range, not rounded: black is 16/255 and white 235/255. An error in grey is 219/255 of the one
    in RGB, so the PSNR is 1.3 dB higher.

    Source: MATLAB's rgb2ycbcr.
    """
    weights = image.new_tensor([65.481, 128.553, 24.966]).float() / 255
    return (image.float() * weights[:, None, None]).sum(dim=1, keepdim=True) + 16 / 255


def brightness_shift(image: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Return the mean of `image` minus that of `reference`, in grey levels (0..255): (B, 3, H, W) in [0, 1] -> (B,)."""
    return 255 * (image.double() - reference.double()).flatten(1).mean(dim=1)
