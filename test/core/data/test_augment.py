import numpy as np
import pytest

from apanet_core.data.augment import crop_pair, mirror_pair


def test_crop_pair_cuts_equal_window_and_refuses_small_image():
    image = np.arange(20 * 30 * 3).reshape(20, 30, 3)
    cut = crop_pair({"left": image, "right": image}, (8, 9), np.random.default_rng(0))
    assert cut["left"].shape == (8, 9, 3)
    np.testing.assert_array_equal(cut["left"], cut["right"])
    with pytest.raises(ValueError, match="a crop of 31x8 does not fit an image of 30x20"):
        crop_pair({"left": image}, (8, 31), np.random.default_rng(0))


def test_mirror_pair_preserves_disparity():
    left, right = np.zeros((1, 20, 3)), np.zeros((1, 20, 3))
    left[:, 12], right[:, 8] = 1, 1  # disparity 4
    mirrored = mirror_pair({"rainy_left": left, "rainy_right": right})
    x_left, x_right = (int(np.argmax(mirrored[f"rainy_{side}"][0, :, 0])) for side in ("left", "right"))
    assert x_left - x_right == 4
    twice = mirror_pair(mirrored)
    np.testing.assert_array_equal(twice["rainy_left"], left)
