"""Rain gate: whether it rains in a pair at all, so that a dry pair keeps its texture."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

OPEN = 4.0  # logit of a new gate


class RainGate(nn.Module):
    """Return one factor in (0, 1) for each pair, by which the changes of both views are multiplied.

    At one pixel, texture and rain can look alike. Over a whole view they do not: the mean evidence of its cells
    decides. The higher logit of both views counts: it rains although a hand covers one lens.

    Args:
        in_channels: channels of the features.
        channels: kinds of evidence.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.evidence = nn.Conv2d(in_channels, channels, 1)
        self.weigh = nn.Linear(channels, channels)
        self.decide = nn.Linear(channels, 1)
        nn.init.zeros_(self.decide.weight)
        nn.init.constant_(self.decide.bias, OPEN)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the factors: (2 B, C, h, w) features, left views first, to (2 B, 1, 1, 1) float32."""
        logits = self.logits(self.mean_evidence(features).to(features.dtype)).float()
        opening = torch.maximum(*logits.chunk(2)).sigmoid()
        return torch.cat([opening, opening])[..., None, None]

    def mean_evidence(self, features: torch.Tensor) -> torch.Tensor:
        """Return the mean evidence of views: (N, C, h, w) to (N, channels) float32; half precision cannot add it up."""
        return F.gelu(self.evidence(features)).float().mean(dim=(2, 3))

    def logits(self, evidence: torch.Tensor) -> torch.Tensor:
        """Return the logits of views: (N, channels) to (N, 1)."""
        logits: torch.Tensor = self.decide(F.gelu(self.weigh(evidence)))
        return logits
