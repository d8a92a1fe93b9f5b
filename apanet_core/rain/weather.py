"""Render weather over clean pairs: falling drops, 2-D streaks, wet glass, sensor."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from apanet_core.rain.counter_random import CounterRandom
from apanet_core.rain.drops import Rain, fall
from apanet_core.rain.glass import WetGlass, look_through
from apanet_core.rain.records import per_sample, rows_of
from apanet_core.rain.scenes import Scenes
from apanet_core.rain.sensor import Sensor, expose
from apanet_core.rain.streaks import Streaks, add_streaks

DRY = Rain(0.0)
NO_STREAKS = Streaks((0.0,), 1.0, 1.0, 0.0)


@dataclass(frozen=True)
class Weather:
    """Effects on pairs, applied in this order; the defaults have no effect.

    Attributes:
        rain: drops in the air, seen by both cameras, and their veil.
        streaks: 2-D layers, independent in the views.
        glass: drops on the glass.
        sensor: noise and compression; the gains are applied to clean pairs by `apply_camera_gains`.
    """

    rain: Rain = DRY
    streaks: Streaks = NO_STREAKS
    glass: WetGlass = field(default_factory=WetGlass)
    sensor: Sensor = field(default_factory=Sensor)

    def per_sample(self, batch: int, device: torch.device) -> Weather:
        """Return the weather of a batch of samples, with tensors instead of numbers."""
        return Weather(*(per_sample(part, batch, device) for part in vars(self).values()))


def render_weather(scenes: Scenes, weather: Weather, random: CounterRandom) -> tuple[torch.Tensor, torch.Tensor]:
    """Render weather over scenes.

    Args:
        scenes: B clean pairs of whole numbers.
        weather: one for all pairs, or tensors with one for each.
        random: random numbers of the samples.

    Returns:
        The rainy views, (B, 2, 3, H, W) whole numbers in [0, 255], and a mask of the pixels with a visible streak or
        drop on the glass, (B, 2, H, W) bool.
    """
    weather = weather.per_sample(len(scenes.views), scenes.views.device)
    views, visible = scenes.views, torch.zeros_like(scenes.disparity, dtype=torch.bool)

    def change(rows: torch.Tensor, result: tuple[torch.Tensor, torch.Tensor]) -> None:
        nonlocal views
        new, seen = result
        views = new.round_() if len(rows) == len(views) else views.index_copy(0, rows, new.round_())
        visible.index_copy_(0, rows, visible.index_select(0, rows) | seen)

    rows = (weather.rain.rate_mm_h > 0).nonzero()[:, 0]
    if len(rows):
        change(rows, fall(scenes.of(rows), rows_of(weather.rain, rows), random.of(rows)))
    rows = (weather.streaks.cover > 0).any(1).nonzero()[:, 0]
    if len(rows):
        dry = views.index_select(0, rows)
        change(rows, add_streaks(dry, rows_of(weather.streaks, rows), random.of(rows)))
    rows = (weather.glass.drops > 0).nonzero()[:, 0]
    if len(rows):
        dry, focal = views.index_select(0, rows), scenes.cameras.focal_px.index_select(0, rows)
        change(rows, look_through(dry, rows_of(weather.glass, rows), focal, random.of(rows)))
    return expose(views, weather.sensor, random), visible
