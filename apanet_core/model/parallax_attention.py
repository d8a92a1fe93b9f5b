"""Asymmetrical Parallax Attention Module (APAM): the two views exchange features along the scan line.

Convention: pairs are rectified, so a point at ``x_left`` is seen at ``x_right = x_left - disparity`` on the same row,
with disparity >= 0. The parallax mask keeps exactly those matches: a left pixel looks at right pixels at or left of its
column, a right pixel at left pixels at or right of its column. On the scan line this is a causal mask, and for the
right view a causal mask on the reversed line. So no map of H x W x W weights is needed.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from apanet_core.model.layers import ChannelNorm

# Columns of a block of `banded_attention`. On a CPU, 16 to 48 differ by less than a tenth for reaches of 12 to 192.
# CUDA's kernels work in tiles of 64 or 128.
BLOCKS = {"cpu": (32,), "cuda": (64, 128)}


def scanline_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    max_disparity_columns: int | None,
    for_right_view: bool = False,
) -> torch.Tensor:
    """Softmax attention of every pixel over the pixels of its own row within its parallax range.

    Args:
        query: (B, H, W, C).
        key: (B, H, W, C).
        value: (B, H, W, C).
        max_disparity_columns: largest disparity in columns; None for the whole line.
        for_right_view: look to the right, at matches of the right view, instead of to the left.

    Returns:
        (B, H, W, C); no map of weights is kept, so memory grows with B x H x W.
    """
    query, key, value = query.contiguous(), key.contiguous(), value.contiguous()  # or torch falls back to a dense map
    if max_disparity_columns is not None and max_disparity_columns < query.shape[2] - 1:
        block = cheapest_block(query.shape[2], max_disparity_columns, BLOCKS.get(query.device.type, BLOCKS["cpu"]))
        if block is None:
            return masked_attention(query, key, value, max_disparity_columns, for_right_view)
        return banded_attention(query, key, value, max_disparity_columns, block, for_right_view)
    if for_right_view:
        return causal_attention(query.flip(2), key.flip(2), value.flip(2)).flip(2)
    return causal_attention(query, key, value)


def cheapest_block(width: int, max_disparity_columns: int, blocks: tuple[int, ...]) -> int | None:
    """Return the block of `banded_attention` with the fewest products of a row; None where one mask needs no more.

    Args:
        width: columns.
        max_disparity_columns: largest disparity in columns.
        blocks: numbers of columns to choose from.

    Returns:
        The number of columns, or None.
    """

    def products(block: int) -> int:
        return math.ceil(width / block) * block * (block + max_disparity_columns)

    best = min(blocks, key=products)
    return None if width**2 <= products(best) else best


def causal_attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """`scanline_attention` to the left over the whole line."""
    return F.scaled_dot_product_attention(query, key, value, is_causal=True)


def banded_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    max_disparity_columns: int,
    block: int = BLOCKS["cpu"][0],
    for_right_view: bool = False,
) -> torch.Tensor:
    """`scanline_attention` with every line cut into blocks of columns, each of which sees its own window of keys.

    The windows overlap in memory, so nothing is copied, and one mask serves all rows. Time grows with W times the
    largest disparity.
    """
    batch, height, width, channels = query.shape
    blocks = math.ceil(width / block)
    tail = blocks * block - width
    sides = (0, max_disparity_columns + tail) if for_right_view else (max_disparity_columns, tail)

    def windows(x: torch.Tensor) -> torch.Tensor:
        """(B, H, W, C) -> (B H, blocks, block + max_disparity_columns, C)."""
        return F.pad(x, (0, 0, *sides)).flatten(0, 1).unfold(1, block + max_disparity_columns, block).transpose(-1, -2)

    column = torch.arange(blocks * block, device=query.device).reshape(blocks, block, 1)
    seen = column[:, :1] + torch.arange(block + max_disparity_columns, device=query.device) - sides[0]
    disparity = seen - column if for_right_view else column - seen
    mask = (
        (disparity >= 0) & (disparity <= max_disparity_columns) & (seen >= 0) & (seen < width)
    )  # (blocks, block, block + max_disparity_columns)
    mask = mask | (column >= width)  # a softmax over nothing is not a number, and these rows are cut off
    query = F.pad(query, (0, 0, 0, tail)).reshape(batch * height, blocks, block, channels)
    result = F.scaled_dot_product_attention(query, windows(key), windows(value), attn_mask=mask[None])
    return result.reshape(batch, height, blocks * block, -1)[:, :, :width]


def masked_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    max_disparity_columns: int | None,
    for_right_view: bool = False,
) -> torch.Tensor:
    """`scanline_attention` through one W x W mask, shared by all rows: no branch on the size, so it can be traced."""
    mask = band_mask(query.shape[2], max_disparity_columns, query.device)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask.T if for_right_view else mask)


def band_mask(width: int, max_disparity_columns: int | None, device: torch.device) -> torch.Tensor:
    """(W, W) bool, True where a left pixel (row) may look at a right pixel (column): disparity 0 to the largest."""
    column = torch.arange(width, device=device)
    disparity = column[:, None] - column
    return disparity >= 0 if max_disparity_columns is None else (disparity >= 0) & (disparity <= max_disparity_columns)


def unmasked_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    max_disparity_columns: int | None,
    for_right_view: bool = False,
) -> torch.Tensor:
    """Attend to the whole row, without the parallax mask; an ablation."""
    return F.scaled_dot_product_attention(query.contiguous(), key.contiguous(), value.contiguous())


class ParallaxAttention(nn.Module):
    """APAM: left reads the right view and right reads the left view, each with its own projections.

    ``left += beta * softmax(q k^T / sqrt(C), matches at or left of the pixel) v_right``, and for the right view the
    same logits normalised over left pixels. The scales start at zero, so a new module is the identity.

    Args:
        channels: C of both views.
        max_disparity_columns: largest disparity, in columns of these features; None for the whole line.
        mask: keep to matches of disparity >= 0; without, pixels look at the whole line, both ways (an ablation).
    """

    def __init__(self, channels: int, max_disparity_columns: int | None = None, mask: bool = True) -> None:
        super().__init__()
        self.left_norm = ChannelNorm(channels, eps=1e-6)
        self.right_norm = ChannelNorm(channels, eps=1e-6)
        self.query = nn.Conv2d(channels, channels, 1)
        self.key = nn.Conv2d(channels, channels, 1)
        self.left_value = nn.Conv2d(channels, channels, 1)
        self.right_value = nn.Conv2d(channels, channels, 1)
        self.left_scale = nn.Parameter(torch.zeros(channels, 1, 1))
        self.right_scale = nn.Parameter(torch.zeros(channels, 1, 1))
        self.max_disparity_columns = max_disparity_columns
        self.attention = scanline_attention if mask else unmasked_attention

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """left, right: (B, C, H, W) -> the same shapes."""
        query = _rows(self.query(self.left_norm(left)))
        key = _rows(self.key(self.right_norm(right)))
        from_right = self.attention(query, key, _rows(self.right_value(right)), self.max_disparity_columns)
        from_left = self.attention(
            key, query, _rows(self.left_value(left)), self.max_disparity_columns, for_right_view=True
        )
        return left + self.left_scale * _image(from_right), right + self.right_scale * _image(from_left)

    def match(self, left: torch.Tensor, right: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean and standard deviation of each left pixel's disparity under the attention weights, in columns.

        Args:
            left: (1, C, H, W) features, as for `forward`.
            right: (1, C, H, W) features, as for `forward`.

        Returns:
            (H, W) float32 each.
        """
        query = _rows(self.query(self.left_norm(left))).float()
        key = _rows(self.key(self.right_norm(right))).float()
        column = torch.arange(query.shape[2], device=query.device) - query.shape[2] / 2  # about 0, to square it exactly
        value = torch.zeros_like(query)
        value[..., 0], value[..., 1] = column, column.square()
        mean, square = self.attention(query, key, value, self.max_disparity_columns)[0, ..., :2].unbind(-1)
        return column - mean, (square - mean.square()).clamp(min=0).sqrt()


def _rows(x: torch.Tensor) -> torch.Tensor:
    return x.permute(0, 2, 3, 1)  # (B, C, H, W) -> (B, H, W, C)


def _image(x: torch.Tensor) -> torch.Tensor:
    return x.permute(0, 3, 1, 2)  # (B, H, W, C) -> (B, C, H, W)
