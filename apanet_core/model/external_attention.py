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

    def log_normalizers(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logarithm of the softmax's denominator per unit: (B, C, H, W) -> (B, S, 1, 1), float32."""
        return self.key(x).float().logsumexp(dim=(2, 3), keepdim=True)

    def weights(self, x: torch.Tensor, log_normalizers: torch.Tensor | None = None) -> torch.Tensor:
        """Return the attention of every pixel over the memory units.

        Args:
            x: (B, C, H, W), an image or a strip of its rows.
            log_normalizers: result of `log_normalizers` for the whole image; None computes it from `x`.

        Returns:
            (B, S, H, W) float32; sums to 1 over the units, except for eps.
        """
        logits = self.key(x).float()
        if log_normalizers is None:
            log_normalizers = logits.logsumexp(dim=(2, 3), keepdim=True)
        a = torch.exp(logits - log_normalizers)
        return a / (a.sum(dim=1, keepdim=True) + self.eps)

    def forward(self, x: torch.Tensor, log_normalizers: torch.Tensor | None = None) -> torch.Tensor:
        """Read the memory for every pixel: (B, C, H, W) -> the same; arguments as for `weights`."""
        return self.value(self.weights(x, log_normalizers).to(x.dtype))


class ExternalAttentionBlock(nn.Module):
    """EAM: external attention, then a gated feed-forward, each added with a learnt scale per channel.

    The scales start at zero, so a new block is the identity. With ``memory_units`` None the block has no memory and
    keeps the feed-forward only. An eps so large that attention is lost in rounding (`LARGEST_EPS`) skips it.
    """

    def __init__(self, channels: int, memory_units: int | None, eps: float = 1e-9) -> None:
        super().__init__()
        self.attention: ExternalAttention | None = None
        self.uses_attention = memory_units is not None and eps < LARGEST_EPS
        if memory_units is not None:
            self.attention_norm = ChannelNorm(channels, eps=1e-5)
            self.attention = ExternalAttention(channels, memory_units, eps)
            self.attention_scale = nn.Parameter(torch.zeros(channels, 1, 1))
            if not self.uses_attention:  # no gradient ever reaches it, which distributed training has to know
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
        """Apply the block: (B, C, H, W) -> (B, C, H, W); images of a batch do not see each other."""
        log_normalizers = None  # of the whole image; a strip alone does not know them
        if self.attention is not None and self.uses_attention and (rows := row_strips(x)) < x.shape[2]:
            strips = (self.attention_norm(strip) for strip in torch.split(x, rows, dim=2))
            log_normalizers = torch.stack([self.attention.log_normalizers(strip) for strip in strips]).logsumexp(dim=0)
        return in_row_strips(lambda strip: self._rows(strip, log_normalizers), x, halo=1)

    def _rows(self, x: torch.Tensor, log_normalizers: torch.Tensor | None) -> torch.Tensor:
        if self.attention is not None and self.uses_attention:
            x = _add_scaled(x, self.attention_scale, self.attention(self.attention_norm(x), log_normalizers))
        return _add_scaled(x, self.feed_forward_scale, self.feed_forward(self.feed_forward_norm(x)))


def _add_scaled(x: torch.Tensor, scale: torch.Tensor, change: torch.Tensor) -> torch.Tensor:
    return torch.addcmul(x, scale.to(x.dtype), change.to(x.dtype))
