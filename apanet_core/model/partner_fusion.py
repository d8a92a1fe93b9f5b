"""Fusion of both views: the other view is warped onto this one, and weights choose between them at each pixel."""

from __future__ import annotations

import functools

import torch
from torch import nn
from torch.nn import functional as F

from apanet_core.model.layers import conv_of_cells
from apanet_core.model.parallax_matching import MATCHING_STRIDE, ContextBlock, Match
from apanet_core.model.rain_gate import RainGate
from apanet_core.model.warping import read_partner, row_grid

CANDIDATES = 5


class PartnerFusion(nn.Module):
    """Improve each view with the matching pixels of the other one.

    Rain adds light, and near drops never hide the same point from both cameras. So the candidates for a pixel are, in
    this order, the view's estimate, the partner's estimate, the darker of the two, the darker of the two rainy views,
    and the rainy view itself: texture that both views show is no rain. The result is the sum of the candidates under
    softmax weights, and a residual. The weights are computed on cells of `MATCHING_STRIDE` px, so full resolution costs
    a few 1x1 convolutions. Where a match does not lead back, the view's estimate gets the weights of the candidates
    from the partner: two views that copy a wrong match show an object that is not there. A `RainGate` shrinks all
    changes of a view without rain.

    Args:
        in_channels: channels of the features.
        channels: width.
        blocks: number of `ContextBlock`.
        gate_channels: kinds of evidence of the gate; 0 for none.
        warp: False leaves the partner out, an ablation.
    """

    def __init__(self, in_channels: int, channels: int, blocks: int, gate_channels: int = 0, warp: bool = True) -> None:
        super().__init__()
        cell_channels = 3 * MATCHING_STRIDE**2
        self.project_in = nn.Conv2d(in_channels + 3 * cell_channels + 1, channels, 1)
        self.blocks = nn.Sequential(*(ContextBlock(channels) for _ in range(blocks)))
        self.project_out = nn.Conv2d(channels, cell_channels + CANDIDATES * MATCHING_STRIDE**2, 1)
        self.gate = RainGate(in_channels, channels, gate_channels) if gate_channels else None
        self.warp = warp
        nn.init.zeros_(self.project_out.weight)
        assert self.project_out.bias is not None
        nn.init.zeros_(self.project_out.bias)
        estimate_logits = slice(cell_channels, cell_channels + MATCHING_STRIDE**2)  # of the first candidate
        self.project_out.bias.data[estimate_logits] = 4.0  # a new module keeps the estimate

    def forward(
        self, rainy: torch.Tensor, estimate: torch.Tensor, features: torch.Tensor, match: Match
    ) -> torch.Tensor:
        """Improve the estimates of both views.

        Args:
            rainy: (2 B, 3, H, W), left views first.
            estimate: derained views before the fusion, the same shape.
            features: (2 B, C, H / 4, W / 4).
            match: result of `ParallaxMatching` for these views.

        Returns:
            (2 B, 3, H, W).
        """
        partner_estimate, partner_rainy = estimate, rainy
        if self.warp:  # one after the other: to join and split their channels takes longer
            grid = row_grid(match.disparity)
            partner_estimate, partner_rainy = (read_partner(v, grid).to(estimate.dtype) for v in (estimate, rainy))
        # Differences of candidates from the estimate: the rainy view, the partner's estimate, the darker rainy view.
        rainy_difference, partner_difference = rainy - estimate, partner_estimate - estimate
        darker_difference = torch.minimum(rainy, partner_rainy) - estimate
        differences = (rainy_difference, partner_difference, darker_difference)
        x = self.blocks(self._project(features, differences, match.confidence))
        cells = self._choose(x, match.agreement)
        residual, *weights = (F.pixel_shuffle(c, MATCHING_STRIDE).to(estimate.dtype) for c in cells)
        # `weights` belong to candidates 2 to 5 in the order of the class docstring. Those of all five sum to 1, so the
        # weighted sum of the candidates is the estimate plus their weighted differences from it.
        differences_2_to_5 = (partner_difference, partner_difference.clamp(max=0), darker_difference, rainy_difference)
        fused = estimate + residual + sum(weight * image for weight, image in zip(weights, differences_2_to_5))
        return fused if self.gate is None else rainy + self.gate(features, x, match.agreement) * (fused - rainy)

    def _project(
        self, features: torch.Tensor, differences: tuple[torch.Tensor, ...], confidence: torch.Tensor
    ) -> torch.Tensor:
        """Apply `project_in` to [features, unshuffled differences, confidence], part by part, without concatenation."""
        weight, count = self.project_in.weight, features.shape[1]
        x = F.conv2d(features, weight[:, :count], self.project_in.bias)
        x = x + F.conv2d(confidence.to(x.dtype), weight[:, -1:])
        for image, part in zip(differences, weight[:, count:-1].chunk(len(differences), dim=1)):
            x = x + conv_of_cells(image.to(features.dtype), part, MATCHING_STRIDE)
        return x

    def _choose(self, x: torch.Tensor, agreement: torch.Tensor) -> list[torch.Tensor]:
        """Apply `project_out`: (2 B, C, h, w) -> cells of the residual, and of the weights of candidates 2 to 5."""
        assert self.project_out.bias is not None
        sizes = [3 * MATCHING_STRIDE**2] + CANDIDATES * [MATCHING_STRIDE**2]
        weights, biases = (torch.split(p, sizes) for p in (self.project_out.weight, self.project_out.bias))
        residual, *logits = (F.conv2d(x, weight, bias) for weight, bias in zip(weights, biases))
        highest = functools.reduce(torch.maximum, logits)
        shares = [torch.exp(logit - highest) for logit in logits]  # softmax, map by map
        total = sum(shares)
        chosen = [share / total for share in shares[1:]]
        if self.warp:
            trust = agreement.to(x.dtype)
            chosen[:3] = [trust * weight for weight in chosen[:3]]  # of the candidates from the partner
        return [residual, *chosen]
