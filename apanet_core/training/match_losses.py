"""Losses that train the matching of the views, with true disparities and without."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from apanet_core.model.config import MATCHING_STRIDE
from apanet_core.model.parallax_matching import Match
from apanet_core.model.warping import warp_rows

FARTHEST_PX = 8.0  # disparity errors are clipped to this: the attention loss corrects larger ones
LOWEST_LOG = -30.0


def match_losses(match: Match, disparity: torch.Tensor) -> dict[str, torch.Tensor]:
    """Compare matches with the true disparity.

    Args:
        match: matches of N views, left ones first.
        disparity: (N, H, W) true disparity in px, NaN for a pixel without a match.

    Returns:
        attention: cross-entropy of the attention, whose target is shared by two neighbouring bins. disparity: mean
        absolute error in px, clipped to `FARTHEST_PX`. Both skip pixels without a match in the range of disparities.
    """
    bins = match.logits.shape[-1]
    cells = disparity[:, MATCHING_STRIDE // 2 :: MATCHING_STRIDE, MATCHING_STRIDE // 2 :: MATCHING_STRIDE]
    target = cells / MATCHING_STRIDE + match.zero_bin
    known = target.isfinite() & (target < bins - 1)
    target = torch.where(known, target, 0)
    below = target.floor()
    log = match.logits.log_softmax(dim=-1).clamp(min=LOWEST_LOG)
    lower, upper = (log.gather(-1, (below.long() + n)[..., None])[..., 0] for n in range(2))
    share = target - below
    cross_entropy = -((1 - share) * lower + share * upper)
    seen = disparity.isfinite() & (disparity < MATCHING_STRIDE * (bins - 1 - match.zero_bin))
    error = (match.disparity[:, 0] - torch.where(seen, disparity, 0)).abs().clamp(max=FARTHEST_PX)
    return {"attention": _mean(cross_entropy, known), "disparity": _mean(error, seen)}


def _mean(values: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    return (values * where).sum() / where.sum().clamp(min=1)


def photometric_losses(match: Match, views: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the photometric and the cycle loss of matches, which need no true disparities.

    Args:
        match: matches of 2 B views, left ones first, under the parallax mask.
        views: (2 B, 3, H, W) rain-free RGB in [0, 1], left ones first; H and W multiples of `MATCHING_STRIDE`.

    Returns:
        photometric: mean absolute difference between a view and the other one read with its attention, on cells of
        `MATCHING_STRIDE` px. cycle: mean difference in px between the disparity of a pixel and that of its match,
        clipped to `FARTHEST_PX`.

    Source: Wang et al. 2019, PASMnet, its photometric and cycle losses; the cycle here compares disparities.
    """
    cells = F.avg_pool2d(views, MATCHING_STRIDE)
    left, right = cells.chunk(2)
    # The right view of a pair is the left view of its mirror image, as in `ParallaxMatching`.
    partners = torch.cat([right, left.flip(3)])
    bins = match.logits.shape[-1]
    candidates = F.pad(partners, (bins - 1, 0)).unfold(3, bins, 1).flip(-1)  # (2 B, 3, h, w, bins), by disparity
    first, second = match.logits.softmax(dim=-1).chunk(2)
    read = (candidates * torch.cat([first, second.flip(2)])[:, None]).sum(dim=-1)
    read = torch.cat([read.chunk(2)[0], read.chunk(2)[1].flip(3)])
    column = torch.arange(match.disparity.shape[-1], device=views.device)
    of_left, of_right = match.disparity.chunk(2)
    seen = torch.cat([column - of_left >= 0, column + of_right <= column[-1]])
    there = warp_rows(match.disparity, match.disparity)
    cycle = (match.disparity - there).abs().clamp(max=FARTHEST_PX)
    return {"photometric": (read - cells).abs().mean(), "cycle": _mean(cycle, seen)}
