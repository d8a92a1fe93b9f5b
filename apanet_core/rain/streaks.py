"""2-D streaks over both views, drawn for each view on its own: like the public benchmarks' rain, soft, wide or dark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch

from apanet_core.rain.counter_random import CounterRandom
from apanet_core.rain.records import Number, numbered, with_dims
from apanet_core.rain.splat import Segments, draw_segments

MOST_STREAKS = 0.1  # per px and layer
BRIGHTEST = 1.5  # limit of the sum of all layers
VISIBLE_STREAK = 0.02  # brightness, in [0, 1], above which a streak counts as visible
DARKEST = 0.3  # of the streaks of a layer, as a share of the brightest

Layers: TypeAlias = Any  # a float, a tuple with one for each layer, or a tensor (B, L)


@dataclass(frozen=True)
class Streaks:
    """Layers of streaks, and how they are blended.

    `cover` is a tuple with a value for each layer, or a tensor (B, L). Other values are that, or a number for all
    layers; of the last three, a number or a tensor (B,).

    Args:
        cover: share of the view under the layer, counting overlaps; 0: no streaks.
        length_px: length of a streak.
        width_px: width of a streak.
        strength: brightness of the brightest streaks, for views in [0, 1].
        angle_deg: 0 falls straight down, positive leans right.
        fade: share of the length over which a streak fades out, half at each end.
        soft: 1 for a bell curve across the streak, 0 for a flat profile.
        screen: 0 adds the layers and clips at white; 1 adds less to bright pixels; values between mix the two.
        painted: 1 blends the streaks as paint of brightness `grey`, which is dark in front of a bright sky.
        grey: brightness of the paint, in [0, 1].

    Raises:
        ValueError: a number is out of its range.
    """

    cover: Layers
    length_px: Layers
    width_px: Layers
    strength: Layers
    angle_deg: Layers = 0.0
    fade: Layers = 0.0
    soft: Layers = 0.0
    screen: Number = 0.0
    painted: Number = 0.0
    grey: Number = 0.8

    def __post_init__(self) -> None:
        if isinstance(self.cover, torch.Tensor):
            return
        length, width, cover = (np.array(value) for value in (self.length_px, self.width_px, self.cover))
        if not (cover.ndim == 1 and (cover >= 0).all() and (length > 0).all() and (width > 0).all()):
            raise ValueError(
                "streaks need a cover >= 0 for each layer, and length_px and width_px > 0: got "
                f"{self.cover}, {self.length_px}, {self.width_px}"
            )


def add_streaks(views: torch.Tensor, streaks: Streaks, random: CounterRandom) -> tuple[torch.Tensor, torch.Tensor]:
    """Add streaks to views.

    Args:
        views: (B, 2, 3, H, W) in [0, 255].
        streaks: tensors, (B, L) and (B,).
        random: random numbers of the samples.

    Returns:
        The views with streaks, not rounded, and the pixels with a visible one, (B, 2, H, W) bool.
    """
    height, width = views.shape[-2:]
    layer = _draw_layers(streaks, (height, width), random).clamp(max=BRIGHTEST)[:, :, None]
    screen, painted, grey = (with_dims(v, 5) for v in (streaks.screen, streaks.painted, streaks.grey))
    weaker = 1 - screen * views / 255
    added = views + 255 * torch.where(screen > 0, layer.clamp(max=1) * weaker, layer)
    paint = grey + random.uniform("paint", 1, 3, 1, 1, low=-0.06, high=0.06)
    blended = torch.where(painted > 0, torch.lerp(views, 255 * paint, layer.clamp(max=0.95)), added)
    return blended.clamp(0, 255), layer[:, :, 0] > VISIBLE_STREAK


def _draw_layers(streaks: Streaks, size: tuple[int, int], random: CounterRandom) -> torch.Tensor:
    """Return the sum of all layers, (B, 2, H, W)."""
    height, width = size
    layers = streaks.cover.shape[1]
    length, thick, strength, angle, fade, soft = (
        value if value.dim() > 1 else value[:, None].expand(-1, layers)
        for value in (
            streaks.length_px,
            streaks.width_px,
            streaks.strength,
            streaks.angle_deg,
            streaks.fade,
            streaks.soft,
        )
    )
    reach = length / 2 + thick
    area = (height + 2 * reach) * (width + 2 * reach)
    mean = (streaks.cover * area / (length * thick)).clamp(max=MOST_STREAKS * height * width)
    counts = random.counts("streaks", mean[:, None].expand(-1, 2, -1))  # (B, 2, L)
    group, number = numbered(counts.flatten())
    view = torch.div(group, layers, rounding_mode="floor")
    sample = torch.div(view, 2, rounding_mode="floor")
    # the number of a streak in its layer comes first: the numbers drawn for it depend on nothing else
    number = number * 2 * layers + group % (2 * layers)

    by_layer = torch.stack([length, thick, strength, angle.deg2rad(), fade, soft, reach])
    values = by_layer[:, :, None].expand(-1, -1, 2, -1).flatten(1).index_select(1, group)
    length, thick, strength, lean, fade, soft, reach = values
    u = random.at("streak u", sample, number) * (width + 2 * reach) - reach
    v = random.at("streak v", sample, number) * (height + 2 * reach) - reach
    value = strength * random.at("streak value", sample, number, low=DARKEST)
    du, dv = length / 2 * lean.sin(), length / 2 * lean.cos()
    infinite = torch.full_like(u, torch.inf)
    segments = Segments(view, u - du, v - dv, u + du, v + dv, thick, value, infinite, fade, soft > 0.5)
    nothing = torch.zeros(2 * len(counts), height, width, device=u.device)
    return draw_segments(segments, nothing).reshape(-1, 2, height, width)
