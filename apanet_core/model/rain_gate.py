"""Rain gate: whether it rains in a pair at all, so that a dry pair keeps its texture."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

OPEN = 4.0  # logit of a new gate


class RainGate(nn.Module):
    """Return one factor in (0, 1) for each pair, by which the changes of both views are multiplied.

    At one pixel, texture and rain can look alike. Over a whole view they do not: mean and spread of the evidence of its
    cells decide, and how many of them have a match that leads back, because without a partner the evidence is another.
    The higher logit of both views counts: it rains although a hand covers one lens.

    Args:
        in_channels: channels of the features.
        channels: kinds of evidence.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.evidence = nn.Sequential(
            nn.Conv2d(in_channels, 2 * channels, 1), nn.GELU(), nn.Conv2d(2 * channels, channels, 1), nn.GELU()
        )
        self.weigh = nn.Linear(2 * channels + 1, channels)
        self.decide = nn.Linear(channels, 1)
        nn.init.zeros_(self.decide.weight)
        nn.init.constant_(self.decide.bias, OPEN)

    def forward(self, features: torch.Tensor, agreement: torch.Tensor) -> torch.Tensor:
        """Return the factors.

        Args:
            features: (2 B, C, h, w), left views first.
            agreement: (2 B, 1, h, w) in [0, 1], whether matches lead back.

        Returns:
            (2 B, 1, 1, 1) float32.
        """
        summary = torch.cat([self.summary(features), agreement.float().mean(dim=(2, 3))], dim=1)
        logits = self.logits(summary.to(features.dtype)).float()
        opening = torch.maximum(*logits.chunk(2)).sigmoid()
        return torch.cat([opening, opening])[..., None, None]

    def summary(self, features: torch.Tensor) -> torch.Tensor:
        """Return mean and standard deviation of the evidence of views: (N, C, h, w) to (N, 2 channels) float32."""
        evidence = self.evidence(features).float()  # half precision cannot add it up
        spread = evidence.var(dim=(2, 3), correction=0).add(1e-6).sqrt()
        return torch.cat([evidence.mean(dim=(2, 3)), spread], dim=1)

    def logits(self, summary: torch.Tensor) -> torch.Tensor:
        """Return the logits of views: `summary` and the mean agreement, (N, 2 channels + 1), to (N, 1)."""
        logits: torch.Tensor = self.decide(F.gelu(self.weigh(summary)))
        return logits
