"""Asymmetrical Parallax Attention Module (APAM): the two views exchange features along the scan line.

Convention: pairs are rectified, so a point at ``x_left`` is seen at ``x_right = x_left - disparity`` on the same row,
with disparity >= 0. The parallax mask keeps exactly those matches: a left pixel looks at right pixels at or left of its
own column, a right pixel at left pixels at or right of its own. On the scan line that is a causal mask, and for the
right view a causal mask on the reversed line, so no map of H x W x W weights is ever needed.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from apanet_core.model.layers import ChannelNorm

# Up to this many times the reach, one mask of W x W shared by all rows beats cutting the rows into blocks.
WIDEST_MASK = 8


def scanline_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, reach: int | None, to_the_right: bool = False
) -> torch.Tensor:
    """Softmax attention of every pixel over the pixels of its own row within its parallax range.

    Args:
        query: (B, H, W, C).
        key: (B, H, W, C).
        value: (B, H, W, C).
        reach: largest disparity in columns; None for the whole line.
        to_the_right: look at columns i..i+reach (the right view's side) in place of i-reach..i (the left view's).

    Returns:
        (B, H, W, C), by the form of the same sum that is cheapest here; memory never grows with H x W x W.
    """
    width = query.shape[2]
    if reach is not None and reach < width - 1 and width <= WIDEST_MASK * reach:
        return masked_attention(query, key, value, reach, to_the_right)
    if to_the_right:
        return scanline_attention(query.flip(2), key.flip(2), value.flip(2), reach).flip(2)
    if reach is None or reach >= width - 1:
        return F.scaled_dot_product_attention(query, key, value, is_causal=True)
    return blocked_attention(query, key, value, reach)


def masked_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, reach: int | None, to_the_right: bool = False
) -> torch.Tensor:
    """`scanline_attention` through one W x W mask, shared by all rows: no branch on the size, so it can be traced."""
    mask = band_mask(query.shape[2], reach, query.device)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask.T if to_the_right else mask)


def band_mask(width: int, reach: int | None, device: torch.device) -> torch.Tensor:
    """(W, W) bool, True where a left pixel (row) may look at a right pixel (column): disparity 0..reach."""
    column = torch.arange(width, device=device)
    disparity = column[:, None] - column
    return disparity >= 0 if reach is None else (disparity >= 0) & (disparity <= reach)


def blocked_attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, reach: int) -> torch.Tensor:
    """`scanline_attention` to the left, its rows cut into blocks of `reach` columns.

    A block needs the keys of itself and of the block before it, so time and memory grow with W x reach.
    """
    batch, height, width, channels = query.shape
    blocks = math.ceil(width / reach)
    tail = blocks * reach - width
    # (B, H, W, C) -> (B, H blocks, reach, C); keys and values start one block further left
    query = F.pad(query, (0, 0, 0, tail)).reshape(batch, height * blocks, reach, channels)
    inside = band_mask(2 * reach, reach, query.device)[reach:]  # (reach, 2 reach)
    exists = torch.ones(blocks, 1, 2 * reach, dtype=torch.bool, device=query.device)
    exists[0, :, :reach] = False  # left of the image
    mask = (inside & exists).repeat(height, 1, 1)  # (H blocks, reach, 2 reach)

    def with_previous_block(x: torch.Tensor) -> torch.Tensor:
        padded = F.pad(x, (0, 0, reach, tail)).reshape(batch, height, blocks + 1, reach, channels)
        return torch.cat([padded[:, :, :-1], padded[:, :, 1:]], dim=3).reshape(batch, height * blocks, -1, channels)

    result = F.scaled_dot_product_attention(query, with_previous_block(key), with_previous_block(value), attn_mask=mask)
    return result.reshape(batch, height, blocks * reach, channels)[:, :, :width]


class ParallaxAttention(nn.Module):
    """APAM: left reads the right view and right reads the left view, each with its own projections.

    ``left += beta * softmax(q k^T / sqrt(C), matches at or left of the pixel) v_right``, and for the right view the
    same logits normalised over left pixels. The scales start at zero, so a new module is the identity.

    Args:
        channels: C of both views.
        reach: largest disparity, in columns of these features; None for the whole line.
    """

    def __init__(self, channels: int, reach: int | None = None) -> None:
        super().__init__()
        self.left_norm = ChannelNorm(channels, eps=1e-6)
        self.right_norm = ChannelNorm(channels, eps=1e-6)
        self.query = nn.Conv2d(channels, channels, 1)
        self.key = nn.Conv2d(channels, channels, 1)
        self.left_value = nn.Conv2d(channels, channels, 1)
        self.right_value = nn.Conv2d(channels, channels, 1)
        self.left_scale = nn.Parameter(torch.zeros(channels, 1, 1))
        self.right_scale = nn.Parameter(torch.zeros(channels, 1, 1))
        self.reach = reach
        self.attention = scanline_attention

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """left, right: (B, C, H, W) -> the same shapes."""
        query = _rows(self.query(self.left_norm(left)))
        key = _rows(self.key(self.right_norm(right)))
        from_right = self.attention(query, key, _rows(self.right_value(right)), self.reach)
        from_left = self.attention(key, query, _rows(self.left_value(left)), self.reach, to_the_right=True)
        return left + self.left_scale * _image(from_right), right + self.right_scale * _image(from_left)


def _rows(x: torch.Tensor) -> torch.Tensor:
    return x.permute(0, 2, 3, 1)  # (B, C, H, W) -> (B, H, W, C)


def _image(x: torch.Tensor) -> torch.Tensor:
    return x.permute(0, 3, 1, 2)  # (B, H, W, C) -> (B, C, H, W)
