"""The veil of drops too far to be visible, and the spray over the ground.

Source of the veil: Weber et al. 2015.
"""

from __future__ import annotations

import math

import torch

from apanet_core.rain.counter_random import CounterRandom
from apanet_core.rain.records import with_dims
from apanet_core.rain.scenes import Scenes
from apanet_core.rain.splashes import ABOVE_GROUND_M
from apanet_core.rain.variation import smooth

FARTHEST_SCENE_M = 1000.0
SPRAY_HEIGHT_M = 0.7  # at which spray has thinned out by 1/e
SPRAY_REACH_M = 60.0  # farther spray is left out


def transmission(
    scenes: Scenes,
    extinction_per_m: torch.Tensor,
    swathes: torch.Tensor,
    spray_per_m: torch.Tensor,
    random: CounterRandom,
) -> torch.Tensor:
    """Return the share of a scene's light that veil and spray let through.

    Args:
        scenes: B scenes.
        extinction_per_m: (B,) extinction coefficient of the veil.
        swathes: (B,) unevenness of the veil, 0 to 1.
        spray_per_m: (B,) extinction coefficient of the spray, on average, right above the ground, which lies
            `ABOVE_GROUND_M` below the camera. It falls off exponentially with height.
        random: random numbers of the samples.

    Returns:
        (B, 2, H, W).
    """
    cameras, size = scenes.cameras, scenes.size
    uneven = 1 + with_dims(swathes, 4) * random.uniform("swathes", 1, 3, 4, low=-1)
    shifted = (scenes.disparity + with_dims(cameras.offset_px, 4)).clamp_(min=1e-3)
    depth = (with_dims(cameras.focal_px * cameras.baseline_m, 4) / shifted).clamp_(max=FARTHEST_SCENE_M)
    thickness = depth * (with_dims(extinction_per_m, 4) * smooth(uneven, size).clamp_(min=0))
    rows = (spray_per_m > 0).nonzero()[:, 0]
    if len(rows):
        patches = random.of(rows).uniform("spray patches", 1, 3, 8, low=-0.5, high=2.5)
        spray = with_dims(spray_per_m.index_select(0, rows), 4) * smooth(patches, size).clamp_(min=0)
        thickness.index_add_(0, rows, spray * _path_in_spray(scenes.of(rows), depth.index_select(0, rows)))
    return thickness.neg_().exp_()


def _path_in_spray(scenes: Scenes, depth: torch.Tensor) -> torch.Tensor:
    """Return the metres through spray as dense as at the ground that weaken like the line of sight to `depth`."""
    rows = torch.arange(scenes.size[0], device=depth.device)[:, None] + 0.5
    falling = (rows - with_dims(scenes.cameras.cy, 4)) / with_dims(scenes.cameras.focal_px, 4)  # m per m of depth
    path = depth.clamp(max=SPRAY_REACH_M)
    # the integral of exp(-height / SPRAY_HEIGHT_M) over the path, from the camera to the ground at most
    at_camera = ABOVE_GROUND_M / SPRAY_HEIGHT_M
    fallen = (falling * path / SPRAY_HEIGHT_M).clamp(max=at_camera)
    level = fallen.abs() < 1e-3
    mean = torch.where(level, 1.0, torch.expm1(fallen) / torch.where(level, 1.0, fallen))
    return path * mean * math.exp(-at_camera)
