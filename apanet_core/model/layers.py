"""Small layers shared by the attention modules and the network."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

# `in_row_strips` applies a function to strips of rows, one after the other, so that its temporaries stay small. A strip
# has about this many features: few enough for a CPU's cache, enough to keep a GPU busy.
CPU_STRIP, CUDA_STRIP = 1 << 20, 1 << 26


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of every pixel, its statistics in float32 so that half cannot overflow.

    With channels last, PyTorch's kernel computes it. Otherwise (exported models) mean and variance are taken along the
    channel axis, without a permute: the same values, and faster in the tested engines.
    """

    def __init__(self, channels: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise `x`: (B, C, H, W) -> the same."""
        if x.stride(1) == 1:
            weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
            with torch.autocast("cuda" if x.is_cuda else "cpu", enabled=False):  # it would copy to float32
                return F.layer_norm(x.permute(0, 2, 3, 1), weight.shape, weight, bias, self.eps).permute(0, 3, 1, 2)
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
        """Apply the layer: (B, C, H, W) -> (B, C, H, W)."""
        gates, values = (slice(first, first + x.shape[1]) for first in (0, x.shape[1]))
        return self.project_out(F.gelu(self._branch(x, gates)) * self._branch(x, values))

    def _branch(self, x: torch.Tensor, channels: slice) -> torch.Tensor:
        """Compute one branch: a convolution takes less time than splitting the channels of both."""
        project_in, depthwise = self.project_in, self.depthwise
        assert project_in.bias is not None
        assert depthwise.bias is not None
        x = F.conv2d(x, project_in.weight[channels], project_in.bias[channels])
        return F.conv2d(x, depthwise.weight[channels], depthwise.bias[channels], padding=1, groups=x.shape[1])


class Downsample(nn.Sequential):
    """3x3 convolution and pixel-unshuffle: (B, C_in, H, W) -> (B, C_out, H / 2, W / 2)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(nn.Conv2d(in_channels, out_channels // 4, 3, padding=1, bias=False), nn.PixelUnshuffle(2))


class Upsample(nn.Sequential):
    """3x3 convolution and pixel-shuffle: (B, C_in, H, W) -> (B, C_out, 2 H, 2 W)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(nn.Conv2d(in_channels, 4 * out_channels, 3, padding=1, bias=False), nn.PixelShuffle(2))


def conv_of_cells(image: torch.Tensor, weight: torch.Tensor, stride: int) -> torch.Tensor:
    """Apply a 1x1 convolution to the cells of an image: a convolution of the image with the stride of the cells.

    Args:
        image: (B, C, H, W); H and W are multiples of `stride`.
        weight: (C_out, C stride^2, 1, 1), for channels in the order of pixel-unshuffle.
        stride: side of a cell in px.

    Returns:
        (B, C_out, H / stride, W / stride).
    """
    return F.conv2d(image, weight.reshape(len(weight), -1, stride, stride), stride=stride)


def pad_to_multiple(x: torch.Tensor, multiple: int) -> torch.Tensor:
    """Repeat the right and bottom edge of `x` (B, C, H, W) until H and W are multiples of `multiple`.

    Convention: only the right and bottom grow, so pixel coordinates, and with them disparities, stay as they are.
    """
    height, width = x.shape[-2:]
    bottom, right = -height % multiple, -width % multiple
    return F.pad(x, (0, right, 0, bottom), mode="replicate") if bottom or right else x


def is_tracing() -> bool:
    """Return whether the network is being exported or compiled, where no branch may depend on the size."""
    return torch.compiler.is_compiling() or bool(torch.jit.is_tracing())  # type: ignore[no-untyped-call]


def channels_last(x: torch.Tensor) -> torch.Tensor:
    """Lay the channels of every pixel together: norms and 1x1 convolutions then run in place, twice as fast."""
    return x if is_tracing() else x.contiguous(memory_format=torch.channels_last)


def row_strips(x: torch.Tensor) -> int:
    """Return the number of rows in a strip of `x` (B, C, H, W); all of them when training or tracing."""
    batch, channels, height, width = x.shape
    if torch.is_grad_enabled() or is_tracing():
        return height
    features = CPU_STRIP if x.device.type == "cpu" else CUDA_STRIP
    return min(max(features // (batch * channels * width), 1), height)


def in_row_strips(function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, halo: int) -> torch.Tensor:
    """Apply `function` to strips of rows, so that its temporaries stay small: the same result, and faster on a CPU.

    Args:
        function: (B, C, h, W) -> the same; a row of its result depends on at most `halo` rows above and below.
        x: (B, C, H, W).
        halo: rows above and below a strip that `function` reads for it.

    Returns:
        `function(x)`.
    """
    height, rows = x.shape[2], row_strips(x)
    if rows == height:
        return function(x)
    result = torch.empty_like(x)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        first, last = max(top - halo, 0), min(bottom + halo, height)
        result[:, :, top:bottom] = function(x[:, :, first:last])[:, :, top - first : bottom - first]
    return result
