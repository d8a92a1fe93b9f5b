"""Settings of `apanet render-rain`."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from apanet_core.rain.counter_random import CounterRandom
from apanet_core.rain.drops import Rain
from apanet_core.rain.glass import WetGlass
from apanet_core.rain.random_weather import random_streaks
from apanet_core.rain.sensor import Sensor
from apanet_core.rain.weather import DRY, NO_STREAKS, Weather
from apanet_core.stereo.camera import StereoCamera

KINDS = ("drops", "streaks", "both")
SHOWER = Rain(50.0)  # the default
KITTI_FOCAL_PX, KITTI_WIDTH_PX, KITTI_BASELINE_M = 721.5, 1242, 0.54  # the camera if none is given


@dataclass(frozen=True)
class RenderSettings:
    """Settings for the rain over every pair of a folder.

    Args:
        kind: drops (in space, seen by both cameras), streaks (2-D layers, sampled for every frame) or both.
        rain: the shower of drops.
        lens_drops: mean number of drops on the glass of each camera.
        sensor: noise, gains, JPEG.
        focal_px: focal length of the clean images; None: KITTI's field of view.
        baseline_m: distance between the cameras; None: KITTI's.
        max_disparity: search range for pairs without a given disparity, px.
        disparity_scale: grey levels per px of disparities in PNG; None: KITTI's 256.
        variants: number of different rains over every pair.
        seed: seed of the rain.
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
        if self.variants < 1 or not 0 <= self.seed < 1 << 32 or self.max_disparity < 1:
            raise ValueError(
                "variants and max_disparity must be at least 1 and seed from 0 to 2^32 - 1: got "
                f"{self.variants}, {self.max_disparity}, {self.seed}"
            )
        if self.disparity_scale is not None and self.disparity_scale <= 0:
            raise ValueError(f"disparity_scale must be above 0: got {self.disparity_scale}")
        WetGlass(self.lens_drops)
        told = [
            f.name.replace("rate_mm_h", "rate")
            for f in fields(Rain)
            if getattr(self.rain, f.name) != getattr(SHOWER, f.name)
        ]
        if self.kind == "streaks" and told:
            raise ValueError(
                f"{', '.join(told)} of the drops has no effect on kind streaks, which draws its own: leave it out, or "
                "choose kind drops or both"
            )

    def camera(self, size: tuple[int, int]) -> StereoCamera:
        """Return the camera of an image of `size` (height, width), with its axis through the middle."""
        focal = KITTI_FOCAL_PX * size[1] / KITTI_WIDTH_PX if self.focal_px is None else self.focal_px
        baseline = KITTI_BASELINE_M if self.baseline_m is None else self.baseline_m
        return StereoCamera(focal, baseline, cx=size[1] / 2, cy=size[0] / 2)

    def weather(self, random: CounterRandom) -> Weather:
        """Return the weather of one frame; `random` draws the streaks only."""
        return Weather(
            DRY if self.kind == "streaks" else self.rain,
            NO_STREAKS if self.kind == "drops" else random_streaks(random),
            WetGlass(self.lens_drops),
            self.sensor,
        )

    def taken_for_granted(self) -> list[str]:
        """Return the assumptions of `camera`, in words; an empty list if all values were given."""
        missing = [n for n, v in (("focal_px", self.focal_px), ("baseline_m", self.baseline_m)) if v is None]
        if not missing:
            return []
        return [
            f"{' and '.join(missing)} not given: taken as KITTI's, {KITTI_FOCAL_PX} px at {KITTI_WIDTH_PX} px of width "
            f"and {KITTI_BASELINE_M} m"
        ]
