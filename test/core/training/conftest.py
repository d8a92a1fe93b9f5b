"""A network and photographs so small that a run of training takes seconds."""

import cv2
import numpy as np
import pytest

from apanet_core.model.config import ModelConfig
from apanet_core.training.config import DataConfig, TrainConfig

SMALLEST = ModelConfig(
    stem_stride=4,
    channels=(8, 8),
    encoder_blocks=(1, 1),
    decoder_blocks=(1,),
    memory_units=4,
    external_attention_levels=(2,),
    parallax_levels=(2,),
)


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for index in range(13):
        small = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{index:02}.png"), cv2.resize(small, (320, 200), interpolation=cv2.INTER_CUBIC))
    return folder


@pytest.fixture(scope="session")
def config(photos):
    """(out, **changes) -> the config of a short run."""

    def make(out, **changes):
        data = DataConfig(photos=[photos], size=(32, 64), workers=0)
        values = {
            "model": SMALLEST,
            "steps": 12,
            "batch_size": 2,
            "validation_pairs": 4,
            "validate_every": 6,
            "checkpoint_every": 5,
        }
        return TrainConfig(out, data, **(values | {"device": "cpu"} | changes))

    return make
