import cv2
import numpy as np
import pytest

from apanet_core.evaluation.consistency import photometric_error


@pytest.fixture(scope="module")
def pair():
    """A smooth pair, moved by 20 px: left, right, disparity."""
    rng = np.random.default_rng(0)
    wide = cv2.GaussianBlur(rng.integers(0, 256, (60, 220, 3), dtype=np.uint8), (0, 0), 3)
    return wide[:, :200], wide[:, 20:], np.full((60, 200), 20, np.float32)


def test_photometric_error_of_constant_disparity_pair_is_zero(pair):
    assert photometric_error(*pair) == 0


def test_photometric_error_scales_with_changed_area(pair):
    left, right, disparity = pair
    streak = right.copy()
    streak[:, 50:68] = np.where(right[:, 50:68] > 127, right[:, 50:68] - 30, right[:, 50:68] + 30)
    # 18 of the 180 columns that both views show differ by 30
    assert photometric_error(left, streak, disparity) == pytest.approx(30 * 18 / 180, rel=1e-5)
    assert photometric_error(left, np.roll(right, 2, axis=1), disparity) > 1
    both = [np.minimum(view, 245) + np.uint8(10) for view in (left, right)]
    assert photometric_error(*both, disparity) == 0  # the same change of both views is consistent


def test_photometric_error_ignores_hidden_unknown_and_outside_pixels():
    left = np.zeros((4, 40, 3), np.uint8)
    disparity = np.full((4, 40), 2, np.float32)
    left[:, 20:30], disparity[:, 20:30] = 200, 8  # a near object: it hides left columns 14 to 19 from the right view
    right = np.zeros_like(left)
    right[:, 12:22] = 200
    assert photometric_error(left, right, disparity) == 0
    disparity[:, :20] = np.nan
    left[:, :20] = 90
    assert photometric_error(left, right, disparity) == 0
    assert np.isnan(photometric_error(left, right, np.full((4, 40), np.nan, np.float32)))
    assert np.isnan(photometric_error(left, right, np.full((4, 40), 50, np.float32)))
