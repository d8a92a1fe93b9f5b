"""Scenes at night: little light, and lamps on the surfaces of the scene, at the same points in both views."""

from __future__ import annotations

import torch

from apanet_core.rain.counter_random import CounterRandom
from apanet_core.rain.light import to_linear, to_srgb
from apanet_core.rain.scenes import Scenes

LAMPS = 8  # at most
SMALLEST_PX, LARGEST = 0.8, 0.015  # radius of a lamp, at most a share of the height
HALO = ((1.0, 4.0), (4.0, 0.15), (20.0, 0.01))  # a lamp is a sum of bells: radius and brightness, of the lamp's own
COLOURS = ((1.0, 0.95, 0.85), (1.0, 0.7, 0.35), (1.0, 0.15, 0.1), (0.3, 1.0, 0.6))  # white, sodium, red, green


def at_night(scenes: Scenes, random: CounterRandom) -> torch.Tensor:
    """Darken clean pairs and light lamps in them.

    Args:
        scenes: B clean pairs.
        random: random numbers of the samples.

    Returns:
        (B, 2, 3, H, W) in [0, 255].
    """
    height, width = scenes.size
    batch, device = random.batch, random.device
    dark = random.log_uniform("darkness", low=0.02, high=0.3)
    tint = random.uniform("night tint", 3, low=0.6, high=1.0)
    light = to_linear(scenes.views.round()) * (dark[:, None] * tint)[:, None, :, None, None]

    u, v = random.uniform("lamp u", LAMPS, high=width), random.uniform("lamp v", LAMPS, high=0.7 * height)
    disparity = scenes.disparity[:, 0].flatten(1).gather(1, v.long() * width + u.long())
    per_m = (disparity + scenes.cameras.offset_px[:, None]) / scenes.cameras.baseline_m[:, None]
    radius = (per_m * random.log_uniform("lamp radius", LAMPS, low=0.03, high=0.15)).clamp(
        min=SMALLEST_PX, max=max(SMALLEST_PX, LARGEST * height)
    )
    colours = torch.tensor(COLOURS, device=device)[random.integer("lamp colour", len(COLOURS), LAMPS)]
    lit = torch.arange(LAMPS, device=device) < random.integer("lamps", LAMPS + 1)[:, None]
    colours = colours * (lit * random.log_uniform("lamp light", LAMPS, low=0.3, high=3))[..., None]

    y = torch.arange(height, device=device) + 0.5
    x = torch.arange(width, device=device) + 0.5
    middles = torch.stack([u, u - disparity], dim=1)  # (B, 2, LAMPS)
    nearer = scenes.disparity[:, 1].flatten(1).gather(1, v.long() * width + middles[:, 1].long().clamp(0, width - 1))
    seen = torch.stack([torch.ones_like(u), (nearer < disparity + 1).float()], dim=1)[..., None]
    colours = colours[:, None] * seen  # (B, 2, LAMPS, 3)
    for size, brightness in HALO:
        wide = (size * radius)[:, None, :, None]
        across = torch.exp(-(((x - middles[..., None]) / wide) ** 2))  # (B, 2, LAMPS, W)
        down = torch.exp(-(((y - v[:, None, :, None]) / wide) ** 2))
        glow = (down.mT[:, :, None] * (brightness * colours).mT[:, :, :, None]) @ across[:, :, None]
        light = light + glow
    return to_srgb(light.reshape(batch, 2, 3, height, width))
