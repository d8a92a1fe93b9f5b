"""Losses that train the matching of the views, for data sets with true disparities."""

from __future__ import annotations

import torch

from apanet_core.model.config import MATCHING_STRIDE
from apanet_core.model.parallax_matching import Match

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
    target = cells / MATCHING_STRIDE
    known = target.isfinite() & (target < bins - 1)
    target = torch.where(known, target, 0)
    below = target.floor()
    log = match.logits.log_softmax(dim=-1).clamp(min=LOWEST_LOG)
    lower, upper = (log.gather(-1, (below.long() + n)[..., None])[..., 0] for n in range(2))
    share = target - below
    cross_entropy = -((1 - share) * lower + share * upper)
    seen = disparity.isfinite() & (disparity < MATCHING_STRIDE * (bins - 1))
    error = (match.disparity[:, 0] - torch.where(seen, disparity, 0)).abs().clamp(max=FARTHEST_PX)
    return {"attention": _mean(cross_entropy, known), "disparity": _mean(error, seen)}


def _mean(values: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    return (values * where).sum() / where.sum().clamp(min=1)
