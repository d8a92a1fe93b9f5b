"""A real pair that no weights were trained on, dry and in streaks."""

import numpy as np
import pytest
import torch
from skimage.data import stereo_motorcycle

from apanet_core.rain.counter_random import CounterRandom
from apanet_core.rain.render import render_rain
from apanet_core.rain.streaks import Streaks
from apanet_core.rain.weather import Weather
from apanet_core.stereo.camera import StereoCamera


@pytest.fixture(scope="session")
def clean():
    return stereo_motorcycle()[:2]


@pytest.fixture(scope="session")
def rainy(clean):
    shower = Weather(streaks=Streaks(cover=(0.18,), length_px=30, width_px=1.5, strength=0.4, angle_deg=10, fade=0.5))
    nothing = np.zeros(clean[0].shape[:2], np.float32)
    camera = StereoCamera(1000, 0.2, 0, 0)
    pair = render_rain(clean, (nothing, nothing), camera, shower, CounterRandom(1, torch.tensor([0])))
    return [pair.left, pair.right]
