import numpy as np
import pytest

from apanet_core.rain.drops import Rain
from apanet_core.rain.lens import WetLens, wet_lens
from apanet_core.rain.light import to_linear
from apanet_core.rain.scenes import Scene
from apanet_core.rain.sensor import Sensor, apply_camera_gains, expose
from apanet_core.rain.streaks import Streaks
from apanet_core.rain.weather import Weather, render_weather, sample_weather
from apanet_core.stereo.camera import StereoCamera

CAMERA = StereoCamera(focal_px=600, baseline_m=0.3, cx=80, cy=60)
SIZE = (120, 160)


def scene(darkest=0):
    rng = np.random.default_rng(5)
    left, right = rng.integers(darkest, 256, (2, *SIZE, 3), dtype=np.uint8)
    return Scene(left, right, np.full(SIZE, 9, np.float32), np.full(SIZE, 9, np.float32), CAMERA)


@pytest.mark.parametrize("weather", [Weather(), Weather(Rain(0), (), 1.0, WetLens(0), Sensor())])
def test_render_weather_dry_returns_input(weather):
    clean = scene()
    pair = render_weather(clean, weather, np.random.default_rng(0))
    np.testing.assert_array_equal(pair.left, clean.left)
    np.testing.assert_array_equal(pair.right, clean.right)
    assert not (pair.left_mask | pair.right_mask).any()


ALL = Weather(Rain(30), (Streaks(0.001, 20, 1.0, 10, 0.4),), 0.5, WetLens(3), Sensor(2.0, 0.0, 90))


def test_render_weather_equal_seed_equal_image_and_input_unchanged():
    clean = scene()
    before = clean.left.copy()
    pairs = [render_weather(clean, ALL, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(pairs[0].right, pairs[1].right)
    assert (pairs[0].right != pairs[2].right).mean() > 0.3
    np.testing.assert_array_equal(clean.left, before)


def test_render_weather_mask_covers_changed_pixels():
    """Without veil, noise and compression, a pixel outside the mask keeps its value but for the faintest streaks."""
    clean = scene(darkest=100)
    weather = Weather(Rain(30, veil=False), (Streaks(0.001, 20, 1.0, 10, 0.4),), lens=WetLens(2))
    pair = render_weather(clean, weather, np.random.default_rng(3))
    for rainy, view, mask in ((pair.left, clean.left, pair.left_mask), (pair.right, clean.right, pair.right_mask)):
        change = np.abs(rainy.astype(int) - view).max(axis=2)
        assert change[~mask].max() <= 24
        assert change[mask].mean() > 4 * change[~mask].mean()
        assert 0.05 < mask.mean() < 0.99


def test_wet_lens_drop_shows_scene_upside_down():
    view = np.zeros((200, 200, 3), np.uint8)
    view[:100] = 255  # bright sky over dark ground
    rng = np.random.default_rng(0)
    lens = WetLens(1, smallest_rad=0.05, largest_rad=0.0501, blur=0.1)
    for _ in range(200):  # until one drop lies whole within the dark ground
        wet, mask = wet_lens(view, lens, 600, rng)
        rows, columns = np.nonzero(mask)
        if rows.size and rows.min() > 105 and rows.max() < 195 and np.ptp(rows) < 80 and columns.min() > 5:
            break
    else:
        raise AssertionError("no drop in the lower half")
    middle = (rows.min() + rows.max()) // 2
    column = (columns.min() + columns.max()) // 2
    assert wet[middle + 15, column].min() > 120  # the sky, at the drop's lower side
    assert wet[middle - 15, column].max() < 80
    np.testing.assert_array_equal(wet[~mask & (np.indices(mask.shape)[0] < 100)], 255)


def test_render_weather_lens_drops_differ_between_views():
    clean = scene()
    same = Scene(clean.left, clean.left, clean.left_disparity, clean.right_disparity, CAMERA)
    pair = render_weather(same, Weather(lens=WetLens(6)), np.random.default_rng(2))
    assert pair.left_mask.any()
    assert pair.right_mask.any()
    assert (pair.left_mask != pair.right_mask).mean() > 0.1


def test_expose_noise_has_set_deviation_and_is_independent():
    grey = np.full((100, 100, 3), 128, np.uint8)
    rng = np.random.default_rng(0)
    first, second = (expose(grey, Sensor(noise=3.0), rng).astype(float) - 128 for _ in range(2))
    assert first.std() == pytest.approx(3.0, rel=0.03)
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.03


def test_apply_camera_gains_scales_linear_light_per_view():
    grey = np.full((8, 8, 3), 120, np.uint8)
    left, right = apply_camera_gains(grey, grey, Sensor(gain_spread=0.1), np.random.default_rng(0))
    expected = np.exp(np.random.default_rng(0).normal(0, 0.1, 2))
    for view, gain in zip((left, right), expected):
        assert to_linear(view).mean() / to_linear(grey).mean() == pytest.approx(gain, rel=0.02)
    assert (left != right).all()
    assert apply_camera_gains(grey, grey, Sensor(), np.random.default_rng(0))[0] is grey


def test_expose_jpeg_quality_95_changes_little():
    x, y = np.mgrid[:64, :64] / 9
    smooth = np.stack([120 + 90 * np.sin(x + k) * np.cos(y * k) for k in (1, 2, 3)], axis=2).astype(np.uint8)
    pressed = expose(smooth, Sensor(jpeg_quality=95), np.random.default_rng(0)).astype(int)
    assert 0 < np.abs(pressed - smooth).max() < 24


def test_sample_weather_matches_expected_shares():
    drawn = [sample_weather(np.random.default_rng(seed)) for seed in range(1000)]
    dry = [w for w in drawn if w == Weather()]
    falling = [w for w in drawn if w.rain is not None]
    assert 0.17 < len(dry) / 1000 < 0.23
    assert 0.40 < len(falling) / 1000 < 0.52
    assert 0.05 < np.mean([w.lens is not None for w in falling]) < 0.15
    assert all(w.rain is not None or w.streaks for w in drawn if w != Weather())
    strongest = [max(layer.strength for layer in w.streaks) for w in drawn if w.streaks]
    assert 0.02 < np.mean(np.array(strongest) > 0.8) < 0.15, "torrents are the only ones above the draws of streaks.py"


def test_weather_bad_values_are_refused():
    with pytest.raises(ValueError, match="drops >= 0"):
        WetLens(-1)
    with pytest.raises(ValueError, match="jpeg_quality must be 1 to 100: got 0"):
        Sensor(jpeg_quality=0)
    with pytest.raises(ValueError, match="noise and gain_spread must be >= 0"):
        Sensor(noise=-1)
