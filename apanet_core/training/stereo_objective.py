"""What a network that matches its views minimises: clean views, clean estimates of each view alone, true matches."""

from __future__ import annotations

import torch

from apanet_core.model.config import MATCHING_STRIDE
from apanet_core.model.network import APANet
from apanet_core.model.parallax_matching import Match
from apanet_core.training.losses import charbonnier, weighted_losses

Terms = dict[str, torch.Tensor]
FARTHEST_PX = 8.0  # an error of the disparity counts so much at most: more is the attention's to mend
LOWEST_LOG = -30.0


class StereoObjective:
    """Sum of the image losses, of the Charbonnier loss of what each view alone gives, and of the matching's.

    Args:
        losses: weights of the image losses.
        estimate: weight of the estimates' loss.
        matching: weight of the cross-entropy between attention and true disparity.
        disparity: weight of the error of the disparity, per px.
    """

    def __init__(
        self, losses: dict[str, float], estimate: float = 1.0, matching: float = 0.1, disparity: float = 0.004
    ) -> None:
        self.losses = losses
        self.weights = {"estimate": estimate, "matching": matching, "disparity": disparity}

    def __call__(self, network: APANet, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, Terms]:
        """Derain a batch of `render_samples`, H and W multiples of the network's stride."""
        rainy, clean = (
            torch.cat([batch[f"{kind}_left"], batch[f"{kind}_right"]]).float() / 255 for kind in ("rainy", "clean")
        )
        judged = torch.cat([batch["left_judged"], batch["right_judged"]])[:, None, None, None] > 0
        result = network.derain(rainy)
        with torch.autocast(rainy.device.type, enabled=False):
            loss, terms = weighted_losses(torch.where(judged, result.derained.float(), clean), clean, self.losses)
            if result.match is not None:
                estimate = charbonnier(torch.where(judged, result.estimate.float(), clean), clean)
                disparity = torch.cat([batch["left_disparity"], batch["right_disparity"]])
                more = {"estimate": estimate, **match_losses(result.match, disparity)}
                loss = loss + sum(self.weights[name] * term for name, term in more.items())
                terms |= {name: term.detach() for name, term in more.items()}
        return loss, terms


def match_losses(match: Match, disparity: torch.Tensor) -> Terms:
    """How far matches are from the truth.

    Args:
        match: of N views, left ones first.
        disparity: (N, H, W) px, not a number where there is no match.

    Returns:
        matching: cross-entropy of the attention, whose target two neighbouring bins share. disparity: mean error in px,
        at most `FARTHEST_PX` a pixel. Both without the pixels that have no match within reach.
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
    return {"matching": _mean(cross_entropy, known), "disparity": _mean(error, seen)}


def _mean(values: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    return (values * where).sum() / where.sum().clamp(min=1)
