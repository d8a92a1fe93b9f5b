"""Losses between a derained and a clean view: (B, 3, H, W) float RGB in [0, 1] -> a scalar."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional as F
from torchmetrics.functional.image import structural_similarity_index_measure

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def charbonnier(derained: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
    """Return the mean of sqrt(error^2 + 1e-6), an L1 loss that is smooth at zero."""
    return torch.sqrt((derained - clean).square() + 1e-6).mean()


def frequency(derained: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
    """Return the mean magnitude of the error's spectrum (orthonormal FFT), which weighs repeated structure: streaks."""
    return torch.fft.rfft2(derained - clean, norm="ortho").abs().mean()


def ssim(derained: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
    """Return 1 - SSIM with a Gaussian window of 11 px, sigma 1.5.

    Source: APANet, supervised stage. The published code misses a pair of parentheses in SSIM and wraps it in -log;
    this is the formula of the paper.
    """
    similarity = structural_similarity_index_measure(derained, clean, data_range=1.0, gaussian_kernel=True, sigma=1.5)
    assert isinstance(similarity, torch.Tensor)
    return 1 - similarity


def box_ssim(derained: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
    """Return 1 - SSIM over windows of 7x7 px with stride 2, which weighs the texture that a stereo matcher needs.

    On a CPU it takes a tenth of the time of `ssim`, which puts a Gaussian window at every pixel.
    """

    def mean(image: torch.Tensor) -> torch.Tensor:
        return F.avg_pool2d(image, 7, stride=2)

    mean_d, mean_c = mean(derained), mean(clean)
    variance_d = mean(derained.square()) - mean_d.square()
    variance_c = mean(clean.square()) - mean_c.square()
    covariance = mean(derained * clean) - mean_d * mean_c
    luminance = (2 * mean_d * mean_c + 0.01**2) / (mean_d.square() + mean_c.square() + 0.01**2)
    return 1 - (luminance * (2 * covariance + 0.03**2) / (variance_d + variance_c + 0.03**2)).mean()


def total_variation(image: torch.Tensor) -> torch.Tensor:
    """Return the mean absolute difference of neighbours, across plus down; rain raises it."""
    across, down = image.diff(dim=3).abs().mean(), image.diff(dim=2).abs().mean()
    return across + down


def dark_channel(image: torch.Tensor, window: int = 35) -> torch.Tensor:
    """Return the mean of the darkest channel's minimum in a window: near zero outdoors without veil.

    Source: He et al. 2009, as in APANet's distillation; the published code pools both views together, which mixes them.
    """
    darkest = image.amin(dim=1, keepdim=True)
    return F.max_pool2d(-darkest, window, stride=1, padding=window // 2).abs().mean()


LOSSES: dict[str, Loss] = {
    "charbonnier": charbonnier,
    "frequency": frequency,
    "ssim": ssim,
    "box_ssim": box_ssim,
}


def check_weights(weights: dict[str, float]) -> None:
    """Raise ValueError unless the names are in `LOSSES` and there is at least one."""
    unknown = sorted(set(weights) - set(LOSSES))
    if unknown or not weights:
        raise ValueError(f"losses must name some of {', '.join(LOSSES)}: got {', '.join(unknown) or 'none'}")


def weighted_losses(
    derained: torch.Tensor, clean: torch.Tensor, weights: dict[str, float]
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Sum the named losses.

    Args:
        derained: (B, 3, H, W) float RGB in [0, 1].
        clean: (B, 3, H, W) float RGB in [0, 1].
        weights: name in `LOSSES` -> weight.

    Returns:
        The weighted sum, and every term without its weight, detached, for the log.
    """
    terms = {name: LOSSES[name](derained, clean) for name in weights}
    total = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
    return total, {name: term.detach() for name, term in terms.items()}
