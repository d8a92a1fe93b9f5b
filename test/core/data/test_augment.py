import numpy as np
import pytest

from apanet_core.data.augment import crop_pair, mirror_pair
from apanet_core.data.streaks import Streaks, add_streaks, streak_layer


def test_crop_takes_one_window_and_refuses_what_does_not_fit():
    image = np.arange(20 * 30 * 3).reshape(20, 30, 3)
    cut = crop_pair({"left": image, "right": image}, (8, 9), np.random.default_rng(0))
    assert cut["left"].shape == (8, 9, 3)
    np.testing.assert_array_equal(cut["left"], cut["right"])
    with pytest.raises(ValueError, match="a crop of 31x8 does not fit an image of 30x20"):
        crop_pair({"left": image}, (8, 31), np.random.default_rng(0))


def test_mirror_keeps_disparities_positive():
    left, right = np.zeros((1, 20, 3)), np.zeros((1, 20, 3))
    left[:, 12], right[:, 8] = 1, 1  # disparity 4
    mirrored = mirror_pair({"rainy_left": left, "rainy_right": right})
    x_left, x_right = (int(np.argmax(mirrored[f"rainy_{side}"][0, :, 0])) for side in ("left", "right"))
    assert x_left - x_right == 4
    twice = mirror_pair(mirrored)
    np.testing.assert_array_equal(twice["rainy_left"], left)


def test_streaks_lean_as_told_and_only_add_light():
    layer = streak_layer((200, 200), Streaks(0.0005, 41, 1.0, 30, 0.5), np.random.default_rng(0))
    assert layer.min() >= 0
    spectrum = np.abs(np.fft.fftshift(np.fft.fft2(layer - layer.mean()))) ** 2
    v, u = np.indices(spectrum.shape) - 100
    # energy lies across the streaks: their direction is (sin 30, cos 30) in (x, y)
    across = spectrum[np.abs(u * np.sin(np.pi / 6) + v * np.cos(np.pi / 6)) < 4].sum()
    along = spectrum[np.abs(u * np.cos(np.pi / 6) - v * np.sin(np.pi / 6)) < 4].sum()
    assert across > 2 * along
    image = np.full((200, 200, 3), 100, np.uint8)
    assert add_streaks(image, [layer]).min() >= 100
