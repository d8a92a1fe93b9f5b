"""Rain gate: whether it rains in a pair at all, so that a dry pair keeps its texture."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

OPEN = 4.0  # logit of a new gate
OTHER_SCENE, SAME_SCENE = 0.3, 0.5  # mean agreement: a covered partner is below 0.3, true pairs are above 0.55


class RainJudge(nn.Module):
    """Tell from its features whether it rains in a view: mean and spread of the evidence of its cells decide.

    Args:
        in_channels: channels of the features.
        channels: kinds of evidence.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        first = nn.Conv2d(in_channels, 2 * channels, 1, stride=2)  # every second cell on every second row
        self.evidence = nn.Sequential(first, nn.GELU(), nn.Conv2d(2 * channels, channels, 1), nn.GELU())
        self.weigh = nn.Linear(2 * channels, channels)
        self.decide = nn.Linear(channels, 1)
        nn.init.zeros_(self.decide.weight)
        nn.init.constant_(self.decide.bias, OPEN)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the logits of N views: (N, C, h, w) to (N, 1) float32."""
        return self.from_summary(self.summary(features).to(features.dtype)).float()

    def summary(self, features: torch.Tensor) -> torch.Tensor:
        """Return mean and standard deviation of the evidence of views: (N, C, h, w) to (N, 2 channels) float32."""
        evidence = self.evidence(features).float()  # half precision cannot add it up
        spread = evidence.var(dim=(2, 3), correction=0).add(1e-6).sqrt()
        return torch.cat([evidence.mean(dim=(2, 3)), spread], dim=1)

    def from_summary(self, summary: torch.Tensor) -> torch.Tensor:
        """Return the logits of views from their summaries: (..., 2 channels) to (..., 1)."""
        logits: torch.Tensor = self.decide(F.gelu(self.weigh(summary)))
        return logits


class RainGate(nn.Module):
    """Return a factor in (0, 1) for each view, by which its changes are multiplied.

    At one pixel, texture and rain can look alike. Over a whole view they do not. One judge sees a view alone, so that
    a covered partner cannot mislead it. The other one sees what the fusion sees, which has compared both views. Where
    these show the same scene, the mean of both judges decides, and the rainier view does for both.

    Args:
        in_channels: channels of the features of a view alone.
        fused_channels: channels of the features of the fusion.
        channels: kinds of evidence of each judge.
    """

    def __init__(self, in_channels: int, fused_channels: int, channels: int) -> None:
        super().__init__()
        self.alone = RainJudge(in_channels, channels)
        self.compared = RainJudge(fused_channels, channels)

    def forward(self, features: torch.Tensor, fused: torch.Tensor, agreement: torch.Tensor) -> torch.Tensor:
        """Return the factors.

        Args:
            features: (2 B, C, h, w), left views first.
            fused: (2 B, C of the fusion, h, w).
            agreement: (2 B, 1, h, w) in [0, 1], whether matches lead back.

        Returns:
            (2 B, 1, 1, 1) float32.
        """
        alone = self.alone(features)
        together = torch.maximum(*((alone + self.compared(fused)) / 2).chunk(2))
        share = (agreement.float().mean(dim=(2, 3)) - OTHER_SCENE) / (SAME_SCENE - OTHER_SCENE)
        logits = alone + share.clamp(0, 1) * (torch.cat([together, together]) - alone)
        return logits.sigmoid()[..., None, None]
