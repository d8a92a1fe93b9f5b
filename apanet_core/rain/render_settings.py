"""What `apanet render-rain` renders over every pair of a folder."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np

from apanet_core.rain.drops import Rain
from apanet_core.rain.lens import WetLens
from apanet_core.rain.sensor import Sensor
from apanet_core.rain.streaks import random_streaks
from apanet_core.rain.weather import Weather
from apanet_core.stereo.camera import StereoCamera

KINDS = ("drops", "streaks", "both")
SHOWER = Rain(50.0)  # what falls if not told otherwise
KITTI_FOCAL_PX, KITTI_WIDTH_PX, KITTI_BASELINE_M = 721.5, 1242, 0.54  # what a camera is taken for if not told


@dataclass(frozen=True)
class RenderSettings:
    """What to render over every pair.

    Args:
        kind: drops (in space, seen by both cameras), streaks (2-D layers, drawn at random for every frame) or both.
        rain: the shower of drops.
        lens_drops: drops to expect on the glass of each camera.
        sensor: noise, gains, JPEG.
        focal_px: of the clean images; None takes KITTI's field of view.
        baseline_m: None takes KITTI's.
        max_disparity: how far to search where the disparity is not given, px.
        disparity_scale: grey levels per px of disparities in PNG; None takes KITTI's 256.
        variants: different rains over every pair.
        seed: another seed, other rain.
    """

    kind: str = "drops"
    rain: Rain = SHOWER
    lens_drops: float = 0.0
    sensor: Sensor = field(default_factory=Sensor)
    focal_px: float | None = None
    baseline_m: float | None = None
    max_disparity: int = 128
    disparity_scale: float | None = None
    variants: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}: got {self.kind!r}")
        if self.variants < 1 or self.seed < 0 or self.max_disparity < 1:
            raise ValueError(
                "variants and max_disparity must be at least 1 and seed at least 0: got "
                f"{self.variants}, {self.max_disparity}, {self.seed}"
            )
        if self.disparity_scale is not None and self.disparity_scale <= 0:
            raise ValueError(f"disparity_scale must be above 0: got {self.disparity_scale}")
        WetLens(self.lens_drops)
        told = [f.name for f in fields(Rain) if getattr(self.rain, f.name) != getattr(SHOWER, f.name)]
        if self.kind == "streaks" and told:
            raise ValueError(
                f"{', '.join(told)} of the drops has no effect on kind streaks, which draws its own: leave it out, or "
                "choose kind drops or both"
            )

    def camera(self, size: tuple[int, int]) -> StereoCamera:
        """The camera of an image of `size` (height, width), its axis through the middle."""
        focal = KITTI_FOCAL_PX * size[1] / KITTI_WIDTH_PX if self.focal_px is None else self.focal_px
        baseline = KITTI_BASELINE_M if self.baseline_m is None else self.baseline_m
        return StereoCamera(focal, baseline, cx=size[1] / 2, cy=size[0] / 2)

    def weather(self, rng: np.random.Generator) -> Weather:
        """What falls on one frame; only streaks are drawn from `rng`."""
        return Weather(
            None if self.kind == "streaks" else self.rain,
            () if self.kind == "drops" else tuple(random_streaks(rng)),
            lens=WetLens(self.lens_drops) if self.lens_drops else None,
            sensor=self.sensor,
        )

    def taken_for_granted(self) -> list[str]:
        """What `camera` assumes, in words; nothing when it was told."""
        missing = [n for n, v in (("focal_px", self.focal_px), ("baseline_m", self.baseline_m)) if v is None]
        if not missing:
            return []
        return [
            f"{' and '.join(missing)} not given: taken as KITTI's, {KITTI_FOCAL_PX} px at {KITTI_WIDTH_PX} px of width "
            f"and {KITTI_BASELINE_M} m"
        ]
