"""Parallax matching: for each pixel of a view, the disparity of its match in the other view and a confidence.

The attention is APAM's: along the row, under the parallax mask (disparity >= 0) and a cap. Its logits are trained with
the true disparity. The match is the expected position at the peak, for which neighbouring cells vote.
`apanet_core.model.partner_fusion` reads pixels there, not features.
Source: APANet, APAM; the peak's window after Gu et al. 2020 and the supervision after Wang et al. 2019 (PASMnet).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from apanet_core.model.config import MATCHING_STRIDE
from apanet_core.model.layers import ChannelNorm, conv_of_cells
from apanet_core.model.warping import read_partner, row_grid

# Columns are interpolated in two parts: multiples of this, and the rest. An engine in bfloat16 holds 37.3 columns as
# 37.25, a whole pixel off, but 36 and 1.3 to a fiftieth of a pixel.
COARSE = 4
LEAST_CONFIDENCE = 1e-6  # below, the offset within the bin shrinks to 0
FULL_AGREEMENT_PX, NO_AGREEMENT_PX = 0.5, 1.5  # difference of a disparity and that of its match


class Match(NamedTuple):
    """Matches of N views.

    Attributes:
        logits: (N, h, w, bins) float32 at `MATCHING_STRIDE`, minus infinity where there is no such column.
        disparity: (N, 1, H, W) float32 px.
        confidence: (N, 1, h, w) float32 in [0, 1]: attention in the three bins around the peak.
        agreement: (N, 1, h, w) float32 in [0, 1]: whether the other view's match leads back, mean of 3x3 cells.
        zero_bin: bin of disparity 0: 0 under the parallax mask; without it, negative disparities come first.
    """

    logits: torch.Tensor
    disparity: torch.Tensor
    confidence: torch.Tensor
    agreement: torch.Tensor
    zero_bin: int = 0


class ContextBlock(nn.Module):
    """5x5 depthwise convolution, norm, two 1x1 convolutions with a GELU between, added to the input."""

    def __init__(self, channels: int, dilation: int = 1) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 5, padding=2 * dilation, dilation=dilation, groups=channels)
        self.norm = ChannelNorm(channels, eps=1e-5)
        self.widen = nn.Conv2d(channels, channels, 1)
        self.narrow = nn.Conv2d(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the block: (N, C, h, w) -> the same."""
        return x + self.narrow(F.gelu(self.widen(self.norm(self.depthwise(x)))))


class ParallaxMatching(nn.Module):
    """Match each view with the other.

    Args:
        in_channels: channels of the features, whose stride is `MATCHING_STRIDE`.
        channels: channels of the embeddings that are compared.
        max_disparity: largest disparity in px; None for the whole row.
        mask: keep to disparities >= 0; False searches both sides, an ablation.
    """

    def __init__(self, in_channels: int, channels: int, max_disparity: int | None, mask: bool = True) -> None:
        super().__init__()
        self.embed = nn.Sequential(
            nn.Conv2d(in_channels + 3 * MATCHING_STRIDE**2, channels, 1),
            *(ContextBlock(channels, dilation) for dilation in (1, 2, 4)),
        )
        self.compare = nn.Conv2d(channels, channels, 1)
        self.refine = nn.Conv2d(channels, MATCHING_STRIDE**2, 1)  # px to add in every pixel of a cell
        self.log_scale = nn.Parameter(torch.tensor(2.5))  # embeddings have length 1, so exp of it is the largest logit
        self.max_disparity_columns = None if max_disparity is None else -(-max_disparity // MATCHING_STRIDE)
        self.mask = mask
        self.interpolation: torch.Tensor
        self.register_buffer("interpolation", bilinear_kernel(MATCHING_STRIDE), persistent=False)
        nn.init.zeros_(self.refine.weight)
        assert self.refine.bias is not None
        nn.init.zeros_(self.refine.bias)

    def forward(self, features: torch.Tensor, images: torch.Tensor) -> Match:
        """Match stacked views.

        Args:
            features: (2 B, C, h, w), left views first.
            images: (2 B, 3, H, W), the views that the features belong to; `MATCHING_STRIDE` times as high and wide.

        Returns:
            The matches of 2 B views, in the same order.
        """
        # The first convolution in two parts, without joining its inputs: docs/decisions/024.
        project, *blocks = self.embed
        assert isinstance(project, nn.Conv2d)
        count = features.shape[1]
        embedded = F.conv2d(features, project.weight[:, :count], project.bias)
        embedded = embedded + conv_of_cells(images.to(features.dtype), project.weight[:, count:], MATCHING_STRIDE)
        for block in blocks:
            embedded = block(embedded)
        compared = self.compare(embedded).float()  # from here on in float32: half precision costs the match
        compared = compared * torch.rsqrt(compared.square().sum(dim=1, keepdim=True) + 1e-6)
        left, right = compared.permute(0, 2, 3, 1).chunk(2)  # (B, h, w, C)
        # The left view of a pair is the right view of its mirror image.
        query, key = torch.cat([left.flip(2), right]), torch.cat([right.flip(2), left])
        max_disparity_columns = query.shape[2] if self.max_disparity_columns is None else self.max_disparity_columns
        with torch.autocast("cuda" if query.is_cuda else "cpu", enabled=False):
            logits = row_logits(self.log_scale.float().exp() * query, key, max_disparity_columns, self.mask)
            largest, offset, confidence = (_mirror_left(values) for values in peak(logits))
        zero_bin = 0 if self.mask else max_disparity_columns
        coarse = (largest / COARSE).floor() * COARSE
        columns = self._at_pixels(coarse - zero_bin) + self._at_pixels(largest - coarse + offset)
        disparity = F.pixel_shuffle(MATCHING_STRIDE * columns + self.refine(embedded).float(), MATCHING_STRIDE)
        back = agreement(largest - zero_bin, offset)
        return Match(_mirror_left(logits), disparity, confidence[:, None], back, zero_bin)

    def _at_pixels(self, cells: torch.Tensor) -> torch.Tensor:
        """Interpolate bilinearly: (N, h, w) -> (N, 16, h, w), the values at the pixels of every cell, in float32."""
        with torch.autocast("cuda" if cells.is_cuda else "cpu", enabled=False):
            around = F.pad(cells[:, None].float(), (1, 1, 1, 1), mode="replicate")
            return F.conv2d(around, self.interpolation.float())


def _mirror_left(values: torch.Tensor) -> torch.Tensor:
    """Mirror the first half of (2 B, h, w, ...), the left views, along its columns."""
    left, right = values.chunk(2)
    return torch.cat([left.flip(2), right])


def bilinear_kernel(factor: int) -> torch.Tensor:
    """Return the kernel that interpolates cells of `factor` px: (factor^2, 1, 3, 3), one row per pixel of a cell."""
    to_right = (torch.arange(factor) + 0.5) / factor - 0.5  # from the middle of the cell, in cells
    along = torch.stack([(-to_right).clamp(min=0), 1 - to_right.abs(), to_right.clamp(min=0)], dim=1)
    return torch.einsum("ya,xb->yxab", along, along).reshape(factor**2, 1, 3, 3)


def row_logits(query: torch.Tensor, key: torch.Tensor, max_disparity_columns: int, mask: bool = True) -> torch.Tensor:
    """Return the products of each pixel with the pixels of the other view on its row, by disparity.

    Rows are cut into blocks of `span` columns. Each block is compared with itself and the block to its right: time and
    memory grow with W times the largest disparity, and nothing branches on the width.

    Args:
        query: (N, h, w, C) embeddings of right views.
        key: (N, h, w, C) embeddings of left views.
        max_disparity_columns: largest disparity in columns, D.
        mask: whether negative disparities are left out.

    Returns:
        (N, h, w, bins): the disparity of a bin is its index, 0 to D, or without the mask its index - D, -D to D. Minus
        infinity for columns outside the view.
    """
    views, height, width, channels = query.shape
    least = 0 if mask else -max_disparity_columns  # disparity of the first bin
    span = max_disparity_columns - least  # bins - 1
    tail = -width % span
    blocks = F.pad(query, (0, 0, 0, tail)).reshape(views * height, -1, span, channels)
    keys = F.pad(key, (0, 0, -least, tail + span + least)).reshape(views * height, -1, span, channels)
    windows = torch.cat([keys[:, :-1], keys[:, 1:]], dim=2)  # (N h, blocks, 2 span, C)
    products = blocks @ windows.transpose(-1, -2)  # (N h, blocks, span, 2 span)
    # Row i needs columns i to i + span. Padding each row by one shifts row i by i columns.
    skewed = F.pad(products.flatten(2), (0, span)).reshape(views * height, -1, span, 2 * span + 1)
    logits = skewed[..., : span + 1].reshape(views, height, -1, span + 1)[:, :, :width]
    seen_at = torch.arange(width, device=query.device)[:, None] + least + torch.arange(span + 1, device=query.device)
    outside = (seen_at < 0) | (seen_at >= width)
    return logits.masked_fill(outside, -torch.inf)


def peak(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Find the attention's peak at each cell.

    The 3x3 cells around a cell vote for its bin: a cell that rain covers looks where its neighbours look. Offset and
    confidence are those of the cell's own attention at that bin.

    Args:
        logits: (N, h, w, bins).

    Returns:
        The bin with the largest mean attention of the cells around, the first of equal ones; the offset from it to the
        expected bin within one of it, in [-1, 1]; the attention of those three bins: (N, h, w) float32 each.
    """
    attention = logits.softmax(dim=-1)
    votes = F.avg_pool2d(attention.permute(0, 3, 1, 2), 3, stride=1, padding=1).permute(0, 2, 3, 1)
    bins = torch.arange(logits.shape[-1], device=logits.device, dtype=attention.dtype)
    # argmax and gather say the same, and take three times as long in OpenVINO
    is_largest = votes >= votes.amax(dim=-1, keepdim=True)
    largest = torch.where(is_largest, bins, float(logits.shape[-1])).amin(dim=-1, keepdim=True)
    offsets = bins - largest
    near = torch.where(offsets.abs() < 1.5, attention, 0.0)
    confidence = near.sum(dim=-1)  # may be 0: the cell sees its neighbours' match nowhere near
    return largest[..., 0], (near * offsets).sum(dim=-1) / confidence.clamp(min=LEAST_CONFIDENCE), confidence


@torch.no_grad()
def agreement(columns: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
    """Check whether matches lead back: left to right to left, and the other way round.

    Args:
        columns: (2 B, h, w) whole columns of disparity, left views first.
        offset: (2 B, h, w) to add to them.

    Returns:
        (2 B, 1, h, w) in [0, 1]: 1 where the disparities of a cell and of its match differ by at most
        `FULL_AGREEMENT_PX`, 0 from `NO_AGREEMENT_PX` on, linear between; mean of the 3x3 cells around.
    """
    # whole columns and offsets apart, and the nearest cell, so that an engine in bfloat16 rounds neither
    parts = torch.stack([columns, offset], dim=1)
    there = read_partner(parts, row_grid(columns[:, None] + offset[:, None]), mode="nearest")
    difference_px = MATCHING_STRIDE * (there - parts).sum(dim=1, keepdim=True).abs()
    agrees = ((NO_AGREEMENT_PX - difference_px) / (NO_AGREEMENT_PX - FULL_AGREEMENT_PX)).clamp(0, 1)
    return F.avg_pool2d(agrees, 3, stride=1, padding=1, count_include_pad=False)
