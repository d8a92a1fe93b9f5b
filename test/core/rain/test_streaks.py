import numpy as np
import pytest

from apanet_core.rain.streaks import Streaks, add_streaks, random_soft_streaks, random_streaks, streak_layer


def test_streak_layer_follows_angle_and_only_adds_light():
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


def test_add_streaks_screen_is_full_on_black_and_zero_on_white():
    layer = streak_layer((60, 80), Streaks(0.01, 20, 1.0, 10, 0.5), np.random.default_rng(0)).clip(max=1)
    black, white, grey = (np.full((60, 80, 3), value, np.uint8) for value in (0, 255, 128))
    np.testing.assert_array_equal(add_streaks(black, [layer], screen=1), add_streaks(black, [layer]))
    np.testing.assert_array_equal(add_streaks(white, [layer], screen=1), white)
    added, half, screened = (add_streaks(grey, [layer], screen).astype(int).sum() for screen in (0, 0.5, 1))
    assert added > half > screened > grey.astype(int).sum()


@pytest.mark.parametrize("draw", [random_streaks, random_soft_streaks])
def test_random_streaks_are_visible(draw):
    for seed in range(5):
        layers = [
            streak_layer((240, 320), streaks, np.random.default_rng(seed))
            for streaks in draw(np.random.default_rng(seed))
        ]
        assert layers
        total = np.sum(layers, axis=0)
        assert total.min() >= 0
        assert total.max() > 0.01
