"""External Attention Module (EAM): every pixel reads a small memory learnt over the whole data set."""

from __future__ import annotations

import torch
from torch import nn

from apanet_core.model.layers import ChannelNorm, GatedFeedForward, in_row_strips, row_strips

# The weights sum to at most 1 / eps over the memory: from here on they change nothing that float32 can hold.
LARGEST_EPS = 1e6


class ExternalAttention(nn.Module):
    """Attention between the N pixels of an image and S learnt memory units.

    ``a = softmax over pixels of M_k x``, ``a = a / (eps + sum over units of a)``, ``result = M_v a``.

    ``a`` holds values near 1/N before the division, too small for half precision: it is computed in float32.

    Source: Guo et al. 2021 (external attention), APANet's EAM. The code published with APANet has eps = 1e9 for 1e-9,
    which scales the branch by about 1e-15.
    """

    def __init__(self, channels: int, memory_units: int, eps: float) -> None:
        super().__init__()
        self.key = nn.Conv2d(channels, memory_units, 1, bias=False)
        self.value = nn.Conv2d(memory_units, channels, 1, bias=False)
        self.eps = eps

    def totals(self, x: torch.Tensor) -> torch.Tensor:
        """Logarithm of the sum over pixels of exp(M_k x): (B, C, H, W) -> (B, S, 1, 1), float32."""
        return self.key(x).float().logsumexp(dim=(2, 3), keepdim=True)

    def weights(self, x: torch.Tensor, totals: torch.Tensor | None = None) -> torch.Tensor:
        """Attention of every pixel over the memory: (B, C, H, W) -> (B, S, H, W), float32, sums to 1 (less eps)."""
        logits = self.key(x).float()
        a = torch.exp(logits - (logits.logsumexp(dim=(2, 3), keepdim=True) if totals is None else totals))
        return a / (a.sum(dim=1, keepdim=True) + self.eps)

    def forward(self, x: torch.Tensor, totals: torch.Tensor | None = None) -> torch.Tensor:
        """x: (B, C, H, W); where that is a part of the image, `totals` of all of it -> (B, C, H, W)."""
        return self.value(self.weights(x, totals).to(x.dtype))


class ExternalAttentionBlock(nn.Module):
    """EAM: external attention, then a gated feed-forward, each added with a learnt scale per channel.

    The scales start at zero, so a new block is the identity. With ``memory_units`` None the block has no memory and
    keeps the feed-forward only. An eps so large that attention is lost in rounding (`LARGEST_EPS`) skips it.
    """

    def __init__(self, channels: int, memory_units: int | None, eps: float = 1e-9) -> None:
        super().__init__()
        self.attention: ExternalAttention | None = None
        self.attends = memory_units is not None and eps < LARGEST_EPS
        if memory_units is not None:
            self.attention_norm = ChannelNorm(channels, eps=1e-5)
            self.attention = ExternalAttention(channels, memory_units, eps)
            self.attention_scale = nn.Parameter(torch.zeros(channels, 1, 1))
            if not self.attends:  # no gradient ever reaches it, which distributed training has to know
                for parameter in (
                    *self.attention_norm.parameters(),
                    *self.attention.parameters(),
                    self.attention_scale,
                ):
                    parameter.requires_grad_(False)
        self.feed_forward_norm = ChannelNorm(channels, eps=1e-5)
        self.feed_forward = GatedFeedForward(channels)
        self.feed_forward_scale = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> (B, C, H, W); images of a batch do not see each other."""
        totals = None
        if self.attention is not None and self.attends and (rows := row_strips(x)) < x.shape[2]:
            strips = [self.attention.totals(self.attention_norm(strip)) for strip in torch.split(x, rows, dim=2)]
            totals = torch.stack(strips).logsumexp(dim=0)
        return in_row_strips(lambda strip: self._rows(strip, totals), x, halo=1)

    def _rows(self, x: torch.Tensor, totals: torch.Tensor | None) -> torch.Tensor:
        if self.attention is not None and self.attends:
            x = _add_scaled(x, self.attention_scale, self.attention(self.attention_norm(x), totals))
        return _add_scaled(x, self.feed_forward_scale, self.feed_forward(self.feed_forward_norm(x)))


def _add_scaled(x: torch.Tensor, scale: torch.Tensor, change: torch.Tensor) -> torch.Tensor:
    return torch.addcmul(x, scale.to(x.dtype), change.to(x.dtype))
