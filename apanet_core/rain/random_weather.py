"""The weather of training samples: the share of every effect and the range of every parameter."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate

import torch

from apanet_core.rain.counter_random import CounterRandom
from apanet_core.rain.drops import Rain
from apanet_core.rain.glass import WetGlass
from apanet_core.rain.records import Record
from apanet_core.rain.sensor import Sensor
from apanet_core.rain.streaks import Streaks
from apanet_core.rain.weather import Weather

SHARES = {"dry": 0.34, "glass": 0.03, "drops": 0.30, "streaks": 0.27, "both": 0.06}  # of the samples
WET_GLASS = 0.12  # share of the samples with drops or streaks; "glass" has nothing else
NIGHTS = 0.08  # share of the samples, of all kinds
NIGHT_NOISE = 2.5  # times the noise by day, and in every rainy sample
SPLASHES, SPRAY = 0.5, 0.2  # shares of the samples with drops
NO_VEIL, NO_MIST = 0.3, 0.4  # shares of drops without veil, and with that of the rain alone
LAYERS = 4  # of streaks, at most


def random_weather(random: CounterRandom) -> Weather:
    """Sample the weather of a batch; a dry sample stays as it is."""
    kind = random.uniform("kind")
    ends = list(accumulate(SHARES.values()))
    dry, glass, streaks = kind < ends[0], (kind >= ends[0]) & (kind < ends[1]), kind >= ends[2]
    drops = (kind >= ends[1]) & (~streaks | (kind >= ends[3]))
    rain, layers = random_rain(random), random_streaks(random)
    wet = glass | (~dry & random.happens("wet glass", WET_GLASS))
    night = is_night(random)
    noisy, packed = ~dry & (night | random.happens("noisy", 0.35)), ~dry & random.happens("compressed", 0.2)
    return Weather(
        _only(rain, "rate_mm_h", drops),
        _only(layers, "cover", streaks[:, None]),
        WetGlass(wet * random.uniform("glass", low=1, high=7)),
        Sensor(
            noise=noisy * random.uniform("noise level", high=2.5) * torch.where(night, NIGHT_NOISE, 1.0),
            jpeg_quality=packed * random.uniform("quality", low=70, high=98),
        ),
    )


def is_night(random: CounterRandom) -> torch.Tensor:
    """Return a mask, (B,) bool, of the samples at night."""
    return random.happens("night", NIGHTS)


def random_rain(random: CounterRandom) -> Rain:
    """Sample showers: drizzle to cloudburst, any exposure, standing or driving, with and without veil and mist."""
    driving, wide_open = random.happens("driving", 0.5), random.happens("wide open", 0.25)
    chance = random.uniform("veil")
    mist = 3.9 / random.log_uniform("visibility", low=50, high=1000)
    return Rain(
        rate_mm_h=random.log_uniform("rate", low=2, high=120),
        exposure_s=random.log_uniform("exposure", low=0.001, high=0.04),
        wind_mps=2 * random.normal("wind across"),
        camera_mps=driving * random.uniform("camera speed", high=20) - random.normal("wind along"),
        focus_m=random.log_uniform("focus", low=2, high=30),
        aperture_px=torch.where(
            wide_open, random.uniform("aperture", low=3, high=10), random.uniform("pinhole", high=3)
        ),
        brightness=random.log_uniform("brightness", low=0.3, high=1.4),
        veil=(chance >= NO_VEIL).float(),
        mist_per_m=(chance >= NO_VEIL + NO_MIST) * mist,
        swathes=0.6 * ~random.happens("even veil", 0.6),
        airlight=random.normal("airlight").mul(0.3).exp(),
        grey=random.happens("grey air", 0.5) * random.uniform("greyness", low=0.5),
        glow=torch.where(
            is_night(random),
            random.uniform("glow", low=0.4),
            random.happens("glowing", 0.3) * random.uniform("glow", high=0.5),
        ),
        splashes=random.happens("splashes", SPLASHES) * random.log_uniform("splashing", low=0.3, high=3),
        spray_per_m=random.happens("spray", SPRAY) * random.log_uniform("spray per metre", low=0.01, high=0.3),
    )


def random_streaks(random: CounterRandom) -> Streaks:
    """Sample one to four layers about one direction: like the benchmarks', or soft, some of them wide and long."""
    soft = random.happens("soft streaks", 0.4)[:, None]
    wide = soft & random.happens("wide streaks", 0.4, LAYERS)

    def choose(hard: torch.Tensor, soft_: torch.Tensor, wide_: torch.Tensor) -> torch.Tensor:
        return torch.where(wide, wide_, torch.where(soft, soft_, hard))

    def spread(name: str, low: float, high: float) -> torch.Tensor:
        return random.log_uniform(name, LAYERS, low=low, high=high)

    length = choose(spread("streak long", 10, 90), spread("soft long", 8, 60), spread("wide long", 40, 200))
    thin = torch.minimum(spread("streak thick", 0.6, 3), length / 10)
    heavy = random.uniform("heavy")[:, None]
    cover = torch.where(
        soft,
        random.uniform("soft cover", LAYERS, low=0.1, high=1.2),
        0.02 + random.uniform("cover", LAYERS) * (0.1 + 0.4 * heavy),
    )
    strength = choose(
        0.06 + random.uniform("strength", LAYERS) * (0.19 + 0.55 * heavy),
        random.uniform("soft strength", LAYERS, low=0.04, high=0.4),
        random.uniform("wide strength", LAYERS, low=0.03, high=0.25),
    )
    chance = random.uniform("torrent")  # a fifth is stronger, half is weaker
    torrent = torch.where(chance < 0.2, random.uniform("boost", low=1, high=2.5), 1.0)
    torrent = torch.where(chance > 0.5, random.log_uniform("weak", low=0.1, high=1), torrent)
    fading = soft | random.happens("fade", 0.5)[:, None]
    gusts = torch.where(random.happens("gusts", 0.5, LAYERS), 15.0, 2.0)
    used = torch.arange(LAYERS, device=random.device) <= random.integer("layers", LAYERS)[:, None]
    # added and clipped, screened in part or whole (less on bright pixels), or painted (dark against a bright sky)
    how = random.uniform("blending")
    painted = how > 0.75
    return Streaks(
        cover=cover * used,
        length_px=length,
        width_px=choose(thin, spread("soft thick", 0.6, 2.5), spread("wide thick", 3, 16)),
        strength=strength * torrent[:, None],
        angle_deg=random.uniform("angle", low=-45, high=45)[:, None] + gusts * random.normal("lean", LAYERS),
        fade=fading * random.uniform("fading", LAYERS),
        soft=soft.float().expand(-1, LAYERS),
        screen=torch.where(how < 0.5, 0.0, torch.where(how < 0.65, 1.0, (how - 0.65) / 0.1)).clamp(max=1),
        painted=painted.float(),
        grey=torch.where(painted, random.uniform("dark grey", low=0.2, high=0.9), random.uniform("grey", low=0.45)),
    )


def _only(record: Record, name: str, where: torch.Tensor) -> Record:
    """Return a record with 0 for `name` except `where`."""
    return replace(record, **{name: getattr(record, name) * where})
