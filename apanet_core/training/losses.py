"""Losses between a derained and a clean view: (B, 3, H, W) float RGB in [0, 1] -> a scalar."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional as F
from torchmetrics.functional.image import structural_similarity_index_measure

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def charbonnier(derained: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
    """Mean of sqrt(error^2 + 1e-6): an L1 that is smooth at zero."""
    return torch.sqrt((derained - clean).square() + 1e-6).mean()


def frequency(derained: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
    """Mean magnitude of the error's spectrum (orthonormal FFT): weighs structure that repeats, such as streaks."""
    return torch.fft.rfft2(derained - clean, norm="ortho").abs().mean()


def ssim(derained: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
    """1 - SSIM, Gaussian window of 11 px, sigma 1.5.

    Source: APANet, supervised stage. The published code misses a pair of parentheses in SSIM and wraps it in -log;
    this is the formula of the paper.
    """
    similarity = structural_similarity_index_measure(derained, clean, data_range=1.0, gaussian_kernel=True, sigma=1.5)
    assert isinstance(similarity, torch.Tensor)
    return 1 - similarity


def box_ssim(derained: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
    """1 - SSIM over windows of 7x7 px, every second one; weighs what a stereo matcher sees in flat regions.

    On a CPU a tenth of the cost of `ssim`, whose windows are Gaussian and at every pixel.
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
    """Mean difference between neighbours, across and down: (B, 3, H, W) -> a scalar. Rain adds to it."""
    across, down = image.diff(dim=3).abs().mean(), image.diff(dim=2).abs().mean()
    return across + down


def dark_channel(image: torch.Tensor, window: int = 35) -> torch.Tensor:
    """Mean size of the darkest channel within a window, near zero outdoors without veil: (B, 3, H, W) -> a scalar.

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
    """Raise ValueError unless they name some of `LOSSES`, and nothing else."""
    unknown = sorted(set(weights) - set(LOSSES))
    if unknown or not weights:
        raise ValueError(f"losses must name some of {', '.join(LOSSES)}: got {', '.join(unknown) or 'none'}")


def weighted_losses(
    derained: torch.Tensor, clean: torch.Tensor, weights: dict[str, float]
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Sum the named losses.

    Args:
        derained: (B, 3, H, W).
        clean: (B, 3, H, W).
        weights: name in `LOSSES` -> weight.

    Returns:
        The total, and every term before its weight, detached, for the log.
    """
    terms = {name: LOSSES[name](derained, clean) for name in weights}
    total = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
    return total, {name: term.detach() for name, term in terms.items()}
