"""Small layers shared by the attention modules and the network."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of every pixel.

    The mean and variance are taken along the channel axis in place of a permute to channels-last and back: the same
    values, and faster in every engine tried. They are computed in float32, so half precision cannot overflow.
    """

    def __init__(self, channels: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise `x`: (B, C, H, W) -> the same."""
        wide = x.float()
        centred = wide - wide.mean(dim=1, keepdim=True)
        scale = torch.rsqrt(centred.square().mean(dim=1, keepdim=True) + self.eps)
        return (centred * scale).to(x.dtype) * self.weight[:, None, None] + self.bias[:, None, None]


class GatedFeedForward(nn.Module):
    """1x1 to two branches, 3x3 depthwise, GELU of one gates the other, 1x1 back.

    Source: APANet's EAM, second half (the gated feed-forward of Restormer with expansion 1).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.project_in = nn.Conv2d(channels, 2 * channels, 1)
        self.depthwise = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2 * channels)
        self.project_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        gate, value = self.depthwise(self.project_in(x)).chunk(2, dim=1)
        return self.project_out(F.gelu(gate) * value)


class Downsample(nn.Sequential):
    """3x3 convolution and pixel-unshuffle: (B, C_in, H, W) -> (B, C_out, H / 2, W / 2)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(nn.Conv2d(in_channels, out_channels // 4, 3, padding=1, bias=False), nn.PixelUnshuffle(2))


class Upsample(nn.Sequential):
    """3x3 convolution and pixel-shuffle: (B, C_in, H, W) -> (B, C_out, 2 H, 2 W)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(nn.Conv2d(in_channels, 4 * out_channels, 3, padding=1, bias=False), nn.PixelShuffle(2))


def pad_to_multiple(x: torch.Tensor, multiple: int) -> torch.Tensor:
    """Repeat the right and bottom edge of `x` (B, C, H, W) until H and W are multiples of `multiple`.

    Convention: only the right and bottom grow, so pixel coordinates, and with them disparities, stay as they are.
    """
    height, width = x.shape[-2:]
    bottom, right = -height % multiple, -width % multiple
    return F.pad(x, (0, right, 0, bottom), mode="replicate") if bottom or right else x
