"""Draw line segments into a batch of images, and list the pixels of boxes: no loop over what is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import torch
from torch.nn import functional as F

from apanet_core.rain.records import numbered

CELLS = ((1, 0.0), (4, 6.0), (16, 96.0))  # px of a cell, and smallest width in px of the segments drawn in such cells
ONE = 1 << 18  # fixed point: sums of integers do not depend on the order of the summands
MOST_LINES = 64  # limit per segment
# pixels worked on together: on a CPU their values fit into the cache of a core, on a card into memory
AT_ONCE = {"cpu": 1 << 15, "cuda": 1 << 24}


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
        value: value added to a fully covered pixel, on average over the segment; one thinner than a pixel adds less.
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

    @classmethod
    def cat(cls, parts: Sequence[Segments]) -> Segments:
        """Return the segments of all `parts`."""
        return cls(*(torch.cat([getattr(part, name) for part in parts]) for name in cls.__dataclass_fields__))

    def __getitem__(self, chosen: torch.Tensor) -> Segments:
        return Segments(*(getattr(self, name).index_select(0, chosen) for name in self.__dataclass_fields__))


def draw_segments(segments: Segments, disparity: torch.Tensor) -> torch.Tensor:
    """Sum the values of all segments.

    A segment is a bundle of lines at most a pixel apart; a line shares its value in every row (or column, if it is
    flat) between the two nearest pixels (Wu 1991). Wide segments are drawn in coarse `CELLS` and interpolated.

    Args:
        segments: the segments to draw.
        disparity: (N, H, W) px of the scene in every image.

    Returns:
        (N, H, W) float32, the sum of the values at every pixel.
    """
    height, width = disparity.shape[1:]
    s = segments
    seen = (torch.maximum(s.u0, s.u1) > -s.width) & (torch.minimum(s.u0, s.u1) < width + s.width)
    seen &= (torch.maximum(s.v0, s.v1) > -s.width) & (torch.minimum(s.v0, s.v1) < height + s.width)
    result = torch.zeros_like(disparity)
    for (cell, least), (_, most) in zip(CELLS, (*CELLS[1:], (0, torch.inf))):
        rows = (seen & (s.width >= least) & (s.width < most)).nonzero()[:, 0]
        if not len(rows):
            continue
        lines = _lines(s[rows], cell)
        if cell == 1:
            result += _draw(lines, disparity)
            continue
        near = F.pad(disparity[:, None], (0, -width % cell, 0, -height % cell), mode="replicate")
        drawn = _draw(lines, F.avg_pool2d(near, cell)[:, 0])
        result += F.interpolate(drawn[:, None], scale_factor=cell, mode="bilinear")[:, 0, :height, :width]
    return result


class _Lines(NamedTuple):
    """M lines from (u0, v0) to (u1, v1), (M,) each."""

    image: torch.Tensor
    u0: torch.Tensor
    v0: torch.Tensor
    u1: torch.Tensor
    v1: torch.Tensor
    value: torch.Tensor  # times the width of the line in px
    disparity: torch.Tensor
    fade: torch.Tensor


def _lines(s: Segments, cell: int) -> _Lines:
    """Divide segments into lines, in pixels that are `cell` px wide."""
    u0, v0, u1, v1, wide = s.u0 / cell, s.v0 / cell, s.u1 / cell, s.v1 / cell, s.width / cell
    du, dv = u1 - u0, v1 - v0
    length = torch.hypot(du, dv)
    short = length < 1e-3
    du, dv, length = torch.where(short, 0, du), torch.where(short, 1e-3, dv), length.clamp(min=1e-3)
    du, dv = du / length, dv / length
    # the ends of a wide segment are round: lengthen it by its width
    u0, v0, u1, v1 = u0 - du * wide / 2, v0 - dv * wide / 2, u1 + du * wide / 2, v1 + dv * wide / 2
    wide = wide * torch.where(s.soft, 2.0, 1.0)  # a bell curve is cut where it has fallen to a seventh
    apart = torch.maximum(du.abs(), dv.abs())  # lines a column (or row) from each other are nearer across the segment
    count = (wide / apart).ceil().clamp(1, MOST_LINES).long()
    segment, number = numbered(count)
    floats = torch.stack([u0, v0, u1, v1, du, dv, wide, s.value, s.disparity, s.fade, count.float(), s.soft.float()])
    u0, v0, u1, v1, du, dv, wide, value, disparity, fade, many, soft = floats.index_select(1, segment)
    side = (number + 0.5) / many - 0.5
    bell = torch.exp(-8 * side.square()) / (2 * _mean_bell(side.device)).index_select(0, many.int())  # twice as wide
    value = value * wide / many * torch.where(soft > 0, bell, 1.0)
    shift = side * wide
    across, down = shift * dv, shift * du
    image = s.image.index_select(0, segment)
    return _Lines(image, u0 - across, v0 + down, u1 - across, v1 + down, value, disparity, fade)


@cache
def _mean_bell(device: torch.device) -> torch.Tensor:
    """Return the mean value of the bell curve on 0, 1, ... `MOST_LINES` lines across a soft segment."""
    many = torch.arange(MOST_LINES + 1, dtype=torch.float64)[:, None]
    number = torch.arange(MOST_LINES)
    bell = torch.exp(-8 * ((number + 0.5) / many.clamp(min=1) - 0.5).square()) * (number < many)
    return (bell.sum(1) / many[:, 0].clamp(min=1)).float().to(device)


def _draw(lines: _Lines, near: torch.Tensor) -> torch.Tensor:
    """Draw lines into images (N, H, W), behind whatever is `near`."""
    steep = (lines.v1 - lines.v0).abs() >= (lines.u1 - lines.u0).abs()
    free = lines.disparity > near.amax((1, 2)).index_select(0, lines.image)  # nothing hides these
    front, behind, flat = (
        _Lines(*(t.index_select(0, rows.nonzero()[:, 0]) for t in lines))
        for rows in (steep & free, steep & ~free, ~steep)
    )
    drawn = _draw_steep(front, near, False)
    if len(behind.u0):
        drawn += _draw_steep(behind, near, True)
    if len(flat.u0):
        drawn += _draw_steep(flat._replace(u0=flat.v0, v0=flat.u0, u1=flat.v1, v1=flat.u1), near.mT, True).mT
    return drawn.float().div_(ONE)


def _draw_steep(lines: _Lines, near: torch.Tensor, hidden: bool) -> torch.Tensor:
    """Draw lines that cross more rows than columns, `hidden` by what is `near`: (N, H, W) int32, in 1 / `ONE`."""
    images, height, width = near.shape
    device = near.device
    stride = width + 3  # one column before and two after an image, for what lies outside
    canvas = torch.zeros(images * height * stride + 1, dtype=torch.int32, device=device)
    if hidden:
        near = F.pad(near, (1, 2)).flatten()
    upward = lines.v0 > lines.v1
    u0, u1 = torch.where(upward, lines.u1, lines.u0), torch.where(upward, lines.u0, lines.u1)
    v0, v1 = torch.minimum(lines.v0, lines.v1), torch.maximum(lines.v0, lines.v1)
    tall = v1 - v0
    slope = (u1 - u0) / tall
    value = lines.value * torch.hypot(u1 - u0, tall) / tall.clamp(min=1) * ONE  # per row; a short line fills one
    v0, v1 = torch.minimum(v0, (v0 + v1 - 1) / 2), torch.maximum(v1, (v0 + v1 + 1) / 2)
    top = v0.floor().clamp(0, height)
    bottom = v1.ceil().clamp(0, height)
    at_top = u0 + slope * (top + 0.5 - (v1 + v0 - tall) / 2) - 0.5
    at_bottom = at_top + slope * (bottom - top)
    outside = (torch.maximum(at_top, at_bottom) < -1) | (torch.minimum(at_top, at_bottom) > width)
    count = torch.where(outside, 0, bottom - top).clamp(min=0).long()
    ramp = 1 / (lines.fade / 2 * tall).clamp(min=1)
    first = (lines.image * height + top.long()) * stride + 1
    floats = torch.stack([at_top, slope, value, (top + 1 - v0) * ramp, (v1 - top) * ramp, ramp, lines.disparity])

    for group in _groups(count, AT_ONCE[device.type]):
        some, number = numbered(count[group])
        row = number.float()
        u, slant, share, entered, left, steps, depth = floats[:, group].index_select(1, some)
        u.addcmul_(slant, row).clamp_(-1, width)
        before = u.floor()
        entered.addcmul_(steps, row)
        left.addcmul_(steps, row, value=-1)
        share.mul_(torch.minimum(entered, left).clamp_(0, 1))
        right = u.sub_(before).mul_(share)
        place = first[group].index_select(0, some).add_(number, alpha=stride).add_(before.long())
        for position, part in ((place, share - right), (place + 1, right)):
            if hidden:
                part = torch.where(depth > near.index_select(0, position), part, 0)
            canvas.scatter_add_(0, position, part.round_().int())
    return canvas[:-1].reshape(images, height, stride)[:, :, 1:-2]


def _groups(counts: torch.Tensor, most: int) -> list[slice]:
    """Divide things with `counts` of parts into groups of about `most` parts."""
    ends = counts.cumsum(0)
    bounds = torch.searchsorted(ends, torch.arange(0, int(counts.sum()), most, device=counts.device)).tolist()
    return [slice(first, last) for first, last in pairwise([*bounds, len(counts)]) if last > first]


def boxes(
    left: torch.Tensor, top: torch.Tensor, right: torch.Tensor, bottom: torch.Tensor, size: tuple[int, int]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """List the pixels of N boxes, cut to an image.

    Args:
        left: (N,) px, 0 at the left border.
        top: (N,) px.
        right: (N,) px.
        bottom: (N,) px.
        size: (height, width) of the image.

    Returns:
        The number of the box, column and row of every pixel, (M,) int64 each.
    """
    height, width = size
    left, right = left.floor().clamp(0, width).long(), right.ceil().clamp(0, width).long()
    top, bottom = top.floor().clamp(0, height).long(), bottom.ceil().clamp(0, height).long()
    wide = right - left
    box, number = numbered(wide * (bottom - top))
    wide = wide.index_select(0, box)
    row = torch.div(number, wide, rounding_mode="floor")
    return box, number - row * wide + left.index_select(0, box), row + top.index_select(0, box)
