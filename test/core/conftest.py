"""A real pair that no weights were trained on, dry and in streaks."""

import numpy as np
import pytest
from skimage.data import stereo_motorcycle

from apanet_core.rain.streaks import Streaks, add_streaks, streak_layer


@pytest.fixture(scope="session")
def clean():
    return stereo_motorcycle()[:2]


@pytest.fixture(scope="session")
def rainy(clean):
    rng = np.random.default_rng(1)
    shower = Streaks(density=0.004, length_px=30, width_px=1.5, angle_deg=10, strength=0.4, fade=0.5)
    return [add_streaks(view, [streak_layer(view.shape[:2], shower, rng)]) for view in clean]
