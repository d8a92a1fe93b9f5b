"""Draw line segments into a batch of images, for drops and streaks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional as F

COARSE = 4  # px of a cell in which wide segments are drawn
WIDE_PX = 6.0  # smallest width of a wide segment
ONE = 1 << 18  # fixed point: sums of integers do not depend on the order of the summands
MOST_SAMPLES = 1 << 24  # samples drawn at once


@dataclass(frozen=True)
class Segments:
    """N segments, (N,) each.

    Attributes:
        image: index of the image in the batch, int64.
        u0: column of the first end, px, 0 at the left border.
        v0: row of the first end, px, 0 at the top border.
        u1: column of the second end, px.
        v1: row of the second end, px.
        width: width in px.
        value: value added to a fully covered pixel; a segment thinner than a pixel adds less.
        disparity: disparity in px, infinite if never hidden; the segment is hidden where the scene has at least this.
        fade: share of the length over which it fades out, half at each end.
        soft: whether its profile is a bell curve instead of flat.
    """

    image: torch.Tensor
    u0: torch.Tensor
    v0: torch.Tensor
    u1: torch.Tensor
    v1: torch.Tensor
    width: torch.Tensor
    value: torch.Tensor
    disparity: torch.Tensor
    fade: torch.Tensor
    soft: torch.Tensor

    def __getitem__(self, chosen: torch.Tensor) -> Segments:
        return Segments(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))


def draw_segments(segments: Segments, disparity: torch.Tensor) -> torch.Tensor:
    """Sum the values of all segments.

    A segment is a grid of samples about a pixel apart, each shared between its four nearest pixels. Wide segments are
    drawn in cells of `COARSE` px and interpolated.

    Args:
        segments: the segments to draw.
        disparity: (N, H, W) px of the scene in every image.

    Returns:
        (N, H, W) float32, the sum of the values at every pixel.
    """
    _images, height, width = disparity.shape
    s = segments
    seen = (torch.maximum(s.u0, s.u1) > -s.width) & (torch.minimum(s.u0, s.u1) < width + s.width)
    seen &= (torch.maximum(s.v0, s.v1) > -s.width) & (torch.minimum(s.v0, s.v1) < height + s.width)
    wide = s.width >= WIDE_PX
    fine = _draw(s[seen & ~wide], disparity, 1)
    tall, broad = -(-height // COARSE), -(-width // COARSE)
    near = F.pad(disparity[:, None], (0, broad * COARSE - width, 0, tall * COARSE - height), mode="replicate")
    coarse = _draw(s[seen & wide], F.avg_pool2d(near, COARSE)[:, 0], COARSE)
    back = F.interpolate(coarse[:, None], scale_factor=COARSE, mode="bilinear")[:, 0, :height, :width]
    return fine + back


def _draw(s: Segments, disparity: torch.Tensor, cell: int) -> torch.Tensor:
    """Draw segments into images whose pixels are `cell` px wide."""
    images, height, width = disparity.shape
    device = disparity.device
    canvas = torch.zeros(images * (height + 2) * (width + 2), dtype=torch.int32, device=device)
    bordered = F.pad(disparity[:, None], (1, 1, 1, 1), mode="replicate").flatten()
    u0, v0, u1, v1, wide = s.u0 / cell, s.v0 / cell, s.u1 / cell, s.v1 / cell, s.width / cell
    du, dv = u1 - u0, v1 - v0
    length = torch.hypot(du, dv).clamp(min=1e-3)
    along = (length + wide).ceil().clamp(1, 4 * (height + width))
    drawn = wide * torch.where(s.soft, 2.0, 1.0)  # a bell curve is cut where it has fallen to a seventh
    across = drawn.ceil().clamp(1, 64)
    area = (length + wide) / along * drawn / across  # px that a sample stands for
    count = (along * across).long()
    stretch = 1 + wide / length  # the ends of a wide segment are round: lengthen it by its width
    weight = s.value * area * ONE

    starts = count.cumsum(0) - count
    lines = torch.repeat_interleave(count)  # the segment of every sample
    total = len(lines)
    for begin in range(0, total, MOST_SAMPLES):
        place = torch.arange(begin, min(begin + MOST_SAMPLES, total), device=device)
        line = lines[begin : begin + MOST_SAMPLES]
        number = place - starts[line]
        a = along[line]
        side_number = torch.div(number, a.long(), rounding_mode="floor")
        t = (number - side_number * a.long() + 0.5) / a  # along, 0 to 1
        side = (side_number + 0.5) / across[line] - 0.5  # across, -1/2 to 1/2
        shift = side * (drawn / length)[line]
        grown = (t - 0.5) * stretch[line] + 0.5
        u = u0[line] + grown * du[line] - shift * dv[line] + 0.5  # 0 at the border of the border
        v = v0[line] + grown * dv[line] + shift * du[line] + 0.5
        share = weight[line] * ((0.5 - (t - 0.5).abs()) / (s.fade[line] / 2).clamp(min=1e-3)).clamp(max=1)
        share = torch.where(s.soft[line], share * torch.exp(-8 * side.square()), share)
        left, top = u.floor(), v.floor()
        corner = (s.image[line] * (height + 2) + top.long()) * (width + 2) + left.long()
        shown = (u >= 0) & (u < width + 1) & (v >= 0) & (v < height + 1)
        corner = torch.where(shown, corner, 0)
        shown &= s.disparity[line] > bordered[corner]
        share = torch.where(shown, share, 0)
        right, below = u - left, v - top
        for offset, part in (
            (0, (1 - right) * (1 - below)),
            (1, right * (1 - below)),
            (width + 2, (1 - right) * below),
            (width + 3, right * below),
        ):
            canvas.index_add_(0, (corner + offset).clamp(max=canvas.numel() - 1), (share * part).round().int())
    return canvas.reshape(images, height + 2, width + 2)[:, 1:-1, 1:-1].float() / ONE
