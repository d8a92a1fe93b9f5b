"""Splashes of drops on the ground, at the same points of the scene in both views."""

from __future__ import annotations

import torch

from apanet_core.rain.counter_random import CounterRandom
from apanet_core.rain.records import Number, power
from apanet_core.rain.scenes import Scenes
from apanet_core.rain.splat import Segments, draw_segments

PER_M2 = 28.0  # visible splashes at 50 mm/h: those of drops above 2 mm, which last some 40 ms
ABOVE_GROUND_M = 1.5  # height of the camera that turns pixels into square metres
SMALLEST_PX = 0.8
STEEPEST, FLATTEST = 1.0, 0.02  # px of disparity per row of what counts as ground
PITCH = 0.15  # by how much the camera may look up or down, as a share of the focal length
TRIED = 0.06  # points per px of the view, of which those that hit the ground splash
JETS = 3  # of a splash
JET_M = 0.02  # length of a jet, on average


def splash(scenes: Scenes, rate_mm_h: Number, amount: Number, random: CounterRandom) -> torch.Tensor:
    """Draw splashes on what looks like ground: its disparity grows from row to row, and would be 0 at the horizon.

    Args:
        scenes: B scenes.
        rate_mm_h: (B,) rain rate.
        amount: (B,) factor of the number of splashes.
        random: random numbers of the samples.

    Returns:
        The share of every pixel under splashes, (B, 2, H, W), at most 1.
    """
    height, width = scenes.size
    if height < 6:
        return torch.zeros_like(scenes.disparity)
    tried = max(1, round(TRIED * height * width))
    u, v = random.uniform("splash u", tried, high=width), random.uniform("splash v", tried, low=2, high=height - 2)
    left = scenes.disparity[:, 0].flatten(1)
    place = v.long() * width + u.long()
    here, lower = left.gather(1, place), left.gather(1, place + width)
    slope = (lower - left.gather(1, place - width)) / 2
    focal, baseline, offset = (
        value[:, None] for value in (scenes.cameras.focal_px, scenes.cameras.baseline_m, scenes.cameras.offset_px)
    )
    nearness = (here + offset).clamp(min=0.1)
    depth = focal * baseline / nearness
    horizon = v - nearness / slope.clamp(min=FLATTEST)  # of the plane through this point
    scale = focal / depth  # px per m
    # square metres of ground in a pixel, times the pixels that a tried point stands for
    area = depth**3 / (focal**2 * ABOVE_GROUND_M) / TRIED
    expected = PER_M2 * (amount * power(rate_mm_h / 50, 0.6))[:, None] * area
    happens = (random.uniform("splash", tried) < expected) & (slope > FLATTEST) & (slope < STEEPEST)
    happens &= (horizon - scenes.cameras.cy[:, None]).abs() < PITCH * focal
    happens &= JET_M * scale > SMALLEST_PX
    sample, number = happens.nonzero().unbind(1)

    sample, number = sample.repeat_interleave(JETS), number.repeat_interleave(JETS)
    jet = number * JETS + torch.arange(len(number), device=number.device) % JETS
    u, v, d, scale = (value[sample, number] for value in (u, v, here, scale))
    lean = random.at("jet lean", sample, jet, low=-1.2, high=1.2)
    length = scale * JET_M * random.at("jet length", sample, jet, low=0.4, high=1.6)
    thick = scale * JET_M * random.at("jet width", sample, jet, low=0.15, high=0.4)
    value = random.at("jet value", sample, jet, low=0.2, high=0.7)
    top_u, top_v = u + length * lean.sin(), v - length * lean.cos()
    fade, soft = torch.full_like(u, 0.6), torch.ones_like(u, dtype=torch.bool)
    near = d + 1  # in front of the ground behind it
    sides = [
        Segments(2 * sample + right, u - right * d, v, top_u - right * d, top_v, thick, value, near, fade, soft)
        for right in (0, 1)
    ]
    return draw_segments(Segments.cat(sides), scenes.disparity.flatten(0, 1)).reshape_as(scenes.disparity).clamp(max=1)
