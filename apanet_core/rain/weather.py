"""Render the weather between a clean and a rainy pair: drops, streaks, wet glass, sensor."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from apanet_core.rain.drops import Rain
from apanet_core.rain.lens import WetLens, wet_lens
from apanet_core.rain.render import RainyPair, render_rain
from apanet_core.rain.scenes import Scene
from apanet_core.rain.sensor import Sensor, expose
from apanet_core.rain.streaks import Streaks, add_streaks, random_soft_streaks, random_streaks, streak_layer

SOFT_STREAKS = 0.3  # share of the samples with streaks
VISIBLE_STREAK = 0.02  # brightness, in [0, 1], above which a mask counts a streak
# Shares of the kinds of samples; dry ones teach the network to leave a dry pair unchanged.
KINDS = {"drops": 0.39, "streaks": 0.34, "both": 0.07, "dry": 0.20}
TORRENTS = 0.2  # share of the samples with streaks whose strength is up to 2.5 times higher: more white than scene


@dataclass(frozen=True)
class Weather:
    """Effects on a pair, applied in this order; the defaults have no effect.

    Attributes:
        rain: drops in the air, seen by both cameras.
        streaks: 2-D layers like those of the public benchmarks, independent in the views.
        screen: blending of the streaks, see `add_streaks`.
        lens: drops on the glass.
        sensor: noise and compression.
    """

    rain: Rain | None = None
    streaks: tuple[Streaks, ...] = ()
    screen: float = 0.0
    lens: WetLens | None = None
    sensor: Sensor = field(default_factory=Sensor)


def render_weather(scene: Scene, weather: Weather, rng: np.random.Generator) -> RainyPair:
    """Render `weather` over a clean pair.

    Args:
        scene: the clean pair with its disparities and camera.
        weather: effects to render; the default leaves the pair unchanged.
        rng: random numbers; the seed determines the image.

    Returns:
        The rainy pair; its masks are True where a streak or a drop on the glass is visible.
    """
    nothing = np.zeros(scene.left.shape[:2], bool)
    pair = RainyPair(scene.left, scene.right, nothing, nothing)
    if weather.rain is not None:
        disparities = scene.left_disparity, scene.right_disparity
        pair = render_rain(scene.left, scene.right, *disparities, scene.camera, weather.rain, rng)
    views, masks = [pair.left, pair.right], [pair.left_mask, pair.right_mask]
    for side in range(2):
        if weather.streaks:
            layers = [streak_layer(views[side].shape[:2], streaks, rng) for streaks in weather.streaks]
            views[side] = add_streaks(views[side], layers, weather.screen)
            masks[side] = masks[side] | (np.sum(layers, axis=0) > VISIBLE_STREAK)
        if weather.lens is not None:
            views[side], covered = wet_lens(views[side], weather.lens, scene.camera.focal_px, rng)
            masks[side] = masks[side] | covered
        views[side] = expose(views[side], weather.sensor, rng)
    return RainyPair(views[0], views[1], masks[0], masks[1])


def sample_weather(rng: np.random.Generator) -> Weather:
    """Sample the weather of a training sample; a dry one leaves the pair unchanged."""
    kind = rng.choice(list(KINDS), p=list(KINDS.values()))
    if kind == "dry":
        return Weather()
    rain = sample_rain(rng) if kind in ("drops", "both") else None
    wet = rain is not None and rng.uniform() < 0.1
    draw_streaks = random_soft_streaks if rng.uniform() < SOFT_STREAKS else random_streaks
    boost = rng.uniform(1, 2.5) if rng.uniform() < TORRENTS else 1.0
    streaks = draw_streaks(rng) if kind in ("streaks", "both") else []
    return Weather(
        rain,
        tuple(replace(layer, strength=boost * layer.strength) for layer in streaks),
        float(rng.choice([0.0, 1.0, rng.uniform()], p=[0.6, 0.2, 0.2])),
        WetLens(drops=rng.uniform(1, 8), blur=rng.uniform(0.2, 0.8)) if wet else None,
        Sensor(
            noise=rng.uniform(0, 2) if rain is not None and rng.uniform() < 0.5 else 0.0,
            jpeg_quality=int(rng.integers(75, 98)) if rng.uniform() < 0.15 else None,
        ),
    )


def sample_rain(rng: np.random.Generator) -> Rain:
    """Sample a shower: drizzle to cloudburst, any exposure, standing or driving."""
    return Rain(
        rate_mm_h=float(np.exp(rng.uniform(np.log(2), np.log(120)))),
        exposure_s=float(np.exp(rng.uniform(np.log(0.002), np.log(0.03)))),
        wind_mps=(rng.normal(0, 2), rng.normal(0, 1)),
        camera_mps=float(rng.choice([0.0, rng.uniform(0, 20)])),
        focus_m=float(np.exp(rng.uniform(np.log(2), np.log(30)))),
        aperture_px=rng.uniform(0, 3),
        brightness=rng.uniform(0.3, 1.3),
        veil=bool(rng.uniform() < 0.7),
        veil_brightness=float(np.exp(rng.normal(0, 0.3))),
    )
