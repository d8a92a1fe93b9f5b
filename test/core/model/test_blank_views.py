import numpy as np
import pytest
import torch

from apanet_core import StereoDerainer
from apanet_core.model.checkpoint import load_model
from apanet_core.model.uint8 import Uint8Derainer, one_is_blank


@pytest.fixture(scope="module")
def derainer():
    return Uint8Derainer(load_model("tiny").eval())


@torch.no_grad()
def test_view_with_blank_partner_is_derained_as_if_given_twice(derainer):
    torch.manual_seed(0)
    views = torch.rand(3, 3, 48, 64)
    blank = torch.tensor([0.0, 1.0, 0.25])[:, None, None, None] + 0.005 * torch.randn(3, 3, 48, 64)  # with sensor noise
    blank = blank.clamp(0, 1)
    alone = derainer.derain_batch(views, views)
    with_blank_right = derainer.derain_batch(views, blank)
    with_blank_left = derainer.derain_batch(blank, views)
    torch.testing.assert_close(with_blank_right[0], alone[0])
    torch.testing.assert_close(with_blank_left[1], alone[1])
    torch.testing.assert_close(with_blank_right[1], blank)
    torch.testing.assert_close(with_blank_left[0], blank)


def test_only_one_view_counts_as_blank():
    scene, dark = torch.rand(1, 3, 16, 24), torch.full((1, 3, 16, 24), 0.02)
    faint = 0.5 + 0.1 * (scene - 0.5)  # 7 grey levels: fog
    pairs = {"dark right": (scene, dark), "dark left": (dark, scene), "night": (dark, dark), "fog": (scene, faint)}
    found = {name: tuple(bool(flag) for flag in one_is_blank(*pair)) for name, pair in pairs.items()}
    nobody = (False, False)
    assert found == {"dark right": (False, True), "dark left": (True, False), "night": nobody, "fog": nobody}


def test_disparity_of_pair_with_blank_view_has_no_confidence():
    view = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    derainer = StereoDerainer("tiny", engine="torch")
    assert not derainer.with_disparity(view, np.zeros_like(view)).confidence.any()
    assert derainer.with_disparity(view, view).confidence.all()
