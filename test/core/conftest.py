"""A real pair that no weights were trained on, dry and in streaks; derainers and a small checkpoint."""

import numpy as np
import pytest
import torch
from networks import CPU_ENGINES, fill_zeros

from apanet_core import StereoDerainer
from apanet_core.model.checkpoint import save_checkpoint
from apanet_core.model.config import ModelConfig
from apanet_core.model.network import APANet
from apanet_core.rain.counter_random import CounterRandom
from apanet_core.rain.render import render_rain
from apanet_core.rain.streaks import Streaks
from apanet_core.rain.weather import Weather
from apanet_core.stereo.camera import StereoCamera


@pytest.fixture(scope="session")
def clean():
    from skimage.data import stereo_motorcycle  # here, because a machine with a card may lack it

    return stereo_motorcycle()[:2]


@pytest.fixture(scope="session")
def rainy(clean):
    shower = Weather(streaks=Streaks(cover=(0.18,), length_px=30, width_px=1.5, strength=0.4, angle_deg=10, fade=0.5))
    nothing = np.zeros(clean[0].shape[:2], np.float32)
    camera = StereoCamera(1000, 0.2, 0, 0)
    pair = render_rain(clean, (nothing, nothing), camera, shower, CounterRandom(1, torch.tensor([0])))
    return [pair.left, pair.right]


@pytest.fixture(scope="session")
def smallest(tmp_path_factory):
    """A checkpoint that is quick to convert and to compile; a preset takes many seconds."""
    torch.manual_seed(0)
    network = APANet(ModelConfig(4, (8, 16), (1, 1), (1,), 4, (2,), (2,)))
    fill_zeros(network, std=0.02)
    path = tmp_path_factory.mktemp("smallest") / "smallest.safetensors"
    save_checkpoint(network, path)
    return str(path)


@pytest.fixture(scope="session")
def derainers():
    return {name: StereoDerainer("tiny", engine=name, device="cpu", precision="float32") for name in CPU_ENGINES}
