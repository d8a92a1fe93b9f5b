"""Quality of the bundled weights on a real pair that none of them was trained on."""

import dataclasses

import numpy as np
import pytest
import torch

from apanet_core import StereoDerainer
from apanet_core.evaluation.depth import bad_pixel_rate
from apanet_core.model.checkpoint import bundled_models, load_model
from apanet_core.model.config import PRESETS
from apanet_core.model.uint8 import Uint8Derainer
from apanet_core.stereo.sgbm import sgbm_disparity


@pytest.fixture(scope="module", params=bundled_models())
def derainer(request):
    return StereoDerainer(request.param, device="cpu")


def psnr(image, reference):
    return -10 * np.log10(max(np.mean((image.astype(float) - reference) ** 2), 1e-6) / 255**2)


@pytest.mark.parametrize("name", bundled_models())
def test_bundled_weights_match_preset(name):
    assert load_model(name).config == PRESETS[name]


def test_bundled_weights_dry_pair_is_nearly_unchanged(derainer, clean):
    derained = derainer(*clean)
    for got, want in zip(derained, clean):
        assert psnr(got, want) > 40
        assert np.abs((got.astype(float) - want).mean(axis=(0, 1))).max() < 1  # no shift of colour or brightness
    assert bad_pixel_rate(sgbm_disparity(*derained, 64), sgbm_disparity(*clean, 64)) <= 0.01


def test_bundled_weights_improve_rainy_pair_by_3_db(derainer, rainy, clean):
    for got, before, want in zip(derainer(*rainy), rainy, clean):
        assert psnr(got, want) > psnr(before, want) + 3


def test_coring_removes_small_changes_and_preserves_large_changes():
    network = load_model("tiny-mono")  # without a gate: nothing but coring judges the change
    with torch.no_grad():
        for parameter in network.project_out.parameters():
            parameter.zero_()
    grey = torch.full((32, 32, 3), 100, dtype=torch.uint8)
    for change, kept in {0: 0, 1: 0, -2: 0, 40: 40, -60: -60}.items():
        network.project_out.bias.data.fill_(change / 255)
        for coring, expected in ((0.0, change), (4.0, kept)):
            network.config = dataclasses.replace(network.config, coring=coring)
            derained = Uint8Derainer(network)(grey, grey)[:2]
            assert all((view == 100 + expected).all() for view in derained), (change, coring)
