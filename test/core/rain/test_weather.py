import numpy as np
import pytest
import torch

from apanet_core.rain.counter_random import CounterRandom
from apanet_core.rain.drops import Rain
from apanet_core.rain.glass import WetGlass, look_through
from apanet_core.rain.light import to_linear, to_srgb
from apanet_core.rain.random_weather import random_weather
from apanet_core.rain.records import per_sample
from apanet_core.rain.render import render_rain, with_camera_gains
from apanet_core.rain.sensor import Sensor, compress, expose
from apanet_core.rain.streaks import Streaks, add_streaks
from apanet_core.rain.weather import Weather
from apanet_core.stereo.camera import StereoCamera

CAMERA = StereoCamera(focal_px=600, baseline_m=0.3, cx=80, cy=60)
SIZE = (120, 160)
CPU = torch.device("cpu")
STREAKS = Streaks(cover=(0.02,), length_px=20, width_px=1.0, strength=0.4, angle_deg=10)
ALL = Weather(Rain(30), STREAKS, WetGlass(3), Sensor(2.0, 0.0, 90))


def one(seed=0):
    return CounterRandom(seed, torch.tensor([0]))


def clean(darkest=0):
    return tuple(np.random.default_rng(5).integers(darkest, 256, (2, *SIZE, 3), dtype=np.uint8))


def render(views, weather, seed=0):
    flat = np.full(SIZE, 9, np.float32)
    return render_rain(views, (flat, flat), CAMERA, weather, one(seed))


@pytest.mark.parametrize("weather", [Weather(), Weather(Rain(0), Streaks((0.0, 0.0), 9, 1, 1), WetGlass(0), Sensor())])
def test_render_rain_dry_returns_input(weather):
    views = clean()
    pair = render(views, weather)
    np.testing.assert_array_equal(pair.left, views[0])
    np.testing.assert_array_equal(pair.right, views[1])
    assert not (pair.left_mask | pair.right_mask).any()


def test_render_rain_equal_seed_equal_image_and_input_unchanged():
    views = clean()
    before = views[0].copy()
    pairs = [render(views, ALL, seed) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(pairs[0].right, pairs[1].right)
    assert (pairs[0].right != pairs[2].right).mean() > 0.3
    np.testing.assert_array_equal(views[0], before)


def test_render_rain_mask_covers_changed_pixels():
    """Without veil, noise and compression, a pixel outside the mask keeps its value but for the faintest streaks."""
    views = clean(darkest=100)
    pair = render(views, Weather(Rain(30, veil=0), STREAKS, WetGlass(2)), 3)
    for rainy, view, mask in ((pair.left, views[0], pair.left_mask), (pair.right, views[1], pair.right_mask)):
        change = np.abs(rainy.astype(int) - view).max(axis=2)
        assert change[~mask].max() <= 24
        assert change[mask].mean() > 4 * change[~mask].mean()
        assert 0.05 < mask.mean() < 0.99


def test_glass_drop_shows_scene_upside_down():
    view = torch.zeros(1, 2, 3, 200, 200)
    view[..., :100, :] = 255  # bright sky over dark ground
    glass = per_sample(WetGlass(1, smallest_rad=0.05, largest_rad=0.0501), 1, CPU)
    for seed in range(300):  # until one drop lies whole within the dark ground
        wet, mask = look_through(view, glass, torch.tensor([600.0]), one(seed))
        rows, columns = mask[0, 0].nonzero().unbind(1)
        if len(rows) and rows.min() > 105 and rows.max() < 195 and np.ptp(rows) < 80 and columns.min() > 5:
            break
    else:
        raise AssertionError("no drop in the lower half")
    middle, column = (rows.min() + rows.max()) // 2, (columns.min() + columns.max()) // 2
    assert wet[0, 0, :, middle + 15, column].min() > 100  # the sky, at the drop's lower side
    assert wet[0, 0, :, middle - 15, column].max() < 80
    assert torch.all(wet[0, 0, :, :100][:, ~mask[0, 0, :100]] == 255)


def test_render_rain_glass_drops_differ_between_views():
    view = clean()[0]
    pair = render((view, view), Weather(glass=WetGlass(6)), 2)
    assert pair.left_mask.any()
    assert pair.right_mask.any()
    assert (pair.left_mask != pair.right_mask).mean() > 0.1


def test_add_streaks_follow_angle_and_only_add_light():
    black = torch.full((1, 2, 3, 200, 200), 100.0)
    streaks = per_sample(Streaks(cover=(0.02,), length_px=41, width_px=1.0, strength=0.5, angle_deg=30), 1, CPU)
    views, _ = add_streaks(black, streaks, one())
    assert views.min() >= 100
    layer = views[0, 0, 0].numpy() - 100
    spectrum = np.abs(np.fft.fftshift(np.fft.fft2(layer - layer.mean()))) ** 2
    v, u = np.indices(spectrum.shape) - 100
    # energy lies across the streaks: their direction is (sin 30, cos 30) in (x, y)
    across = spectrum[np.abs(u * np.sin(np.pi / 6) + v * np.cos(np.pi / 6)) < 4].sum()
    along = spectrum[np.abs(u * np.cos(np.pi / 6) - v * np.sin(np.pi / 6)) < 4].sum()
    assert across > 2 * along


def test_add_streaks_screen_is_full_on_black_and_zero_on_white():
    def added(grey, screen):
        streaks = per_sample(Streaks((0.3,), 20, 1.0, 0.5, 10, screen=screen), 1, CPU)
        return add_streaks(torch.full((1, 2, 3, 60, 80), float(grey)), streaks, one())[0]

    torch.testing.assert_close(added(0, 1), added(0, 0))
    assert torch.all(added(255, 1) == 255)
    none, half, full = (added(128, screen).sum() for screen in (0, 0.5, 1))
    assert none > half > full > 128 * 2 * 3 * 60 * 80


def test_add_streaks_cover_is_share_of_view():
    streaks = per_sample(Streaks((0.2,), 30, 2.0, 0.5), 1, CPU)
    views, _ = add_streaks(torch.zeros(1, 2, 3, 300, 400), streaks, one())
    # the mean brightness of a streak is 0.65 of the strength
    assert views.mean() / 255 == pytest.approx(0.2 * 0.5 * 0.65, rel=0.15)


def test_add_streaks_differ_between_views_and_paint_is_dark_on_white():
    white = torch.full((1, 2, 3, 100, 160), 255.0)
    painted = per_sample(Streaks((0.3,), 20, 1.5, 0.8, painted=1.0, grey=0.5), 1, CPU)
    views, visible = add_streaks(white, painted, one())
    assert views.min() < 180
    assert views.max() == 255
    both = visible[0].float().flatten(1)
    assert abs(torch.corrcoef(both)[0, 1]) < 0.2


def test_veil_follows_airlight_swathes_and_mist():
    flat = (np.full((*SIZE, 3), 60, np.uint8),) * 2
    flat[0][:40] = 250

    def light(**changes):
        rain = Rain(20, brightness=0, exposure_s=1e-6, **changes)
        return render(flat, Weather(rain)).left[60:].astype(float)

    plain = light(mist_per_m=0.02)
    assert plain.mean() > light().mean() + 5
    assert light(mist_per_m=0.02, airlight=2.0).mean() > plain.mean() + 10
    assert light(mist_per_m=0.02, swathes=1.0).std() > 3 * plain.std() + 1


def test_overlapping_glass_drops_show_most_opaque():
    bright = torch.full((1, 2, 3, 60, 60), 255.0)
    views, mask = look_through(bright, per_sample(WetGlass(40, 0.03, 0.05), 1, CPU), torch.tensor([400.0]), one())
    assert mask.float().mean() > 0.5
    assert views.min() > 250  # drops in front of white are white, however many overlap


def test_expose_noise_has_set_deviation_and_is_independent():
    sensor = per_sample(Sensor(noise=3.0), 1, CPU)
    first, second = (expose(torch.full((1, 2, 3, 100, 100), 128.0), sensor, one())[0] - 128).numpy()
    assert first.std() == pytest.approx(3.0, rel=0.03)
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.03


def test_with_camera_gains_scales_linear_light_per_view():
    grey = np.full((8, 8, 3), 120, np.uint8)
    left, right = with_camera_gains((grey, grey), 0.1, one())
    expected = (0.1 * one().normal("camera gain", 2)).exp()[0]
    for view, gain in zip((left, right), expected):
        light = to_linear(torch.tensor([float(view[0, 0, 0]), 120.0]))
        assert light[0] / light[1] == pytest.approx(float(gain), rel=0.02)
    assert (left != right).all()
    assert with_camera_gains((grey, grey), 0.0, one())[0] is grey


def test_compress_quality_95_changes_little_at_any_size():
    x, y = np.mgrid[:61, :67] / 9
    smooth = torch.from_numpy(np.stack([120 + 90 * np.sin(x + k) * np.cos(y * k) for k in (1, 2, 3)])).float()[None]
    change = {quality: (compress(smooth, torch.tensor([quality])) - smooth).abs() for quality in (95.0, 20.0)}
    assert 0 < change[95.0].max() < 24
    assert change[20.0].mean() > 2 * change[95.0].mean()


def test_srgb_round_trip_returns_equal_codes():
    codes = torch.arange(256.0)
    assert torch.equal(to_srgb(to_linear(codes)).round(), codes)


def test_random_weather_matches_expected_shares():
    weather = random_weather(CounterRandom(0, torch.arange(4000)))
    falling, streaked = weather.rain.rate_mm_h > 0, (weather.streaks.cover > 0).any(1)
    assert 0.33 < (~falling & ~streaked).float().mean() < 0.39
    assert 0.33 < falling.float().mean() < 0.39
    assert 0.31 < streaked.float().mean() < 0.37
    wet = weather.glass.drops > 0
    assert 0.02 < (wet & ~falling & ~streaked).float().mean() < 0.04
    assert 0.08 < (wet & falling).float().mean() / falling.float().mean() < 0.16
    dry = ~falling & ~streaked & ~wet
    assert 0.31 < dry.float().mean() < 0.37
    for effect in (weather.sensor.noise, weather.sensor.jpeg_quality):
        assert effect[dry].max() == 0
        assert 0.05 < (effect[~dry] > 0).float().mean() < 0.4
    assert 0.6 < (weather.rain.veil > 0).float().mean() < 0.8


def test_weather_bad_values_are_refused():
    with pytest.raises(ValueError, match="swathes, grey and glow in"):
        Rain(1, glow=2)
    with pytest.raises(ValueError, match="brightness"):
        Rain(1, brightness=float("nan"))
    with pytest.raises(ValueError, match="length_px and width_px > 0"):
        Streaks((0.1,), 0, 1, 1)
    with pytest.raises(ValueError, match="0 to 48 drops"):
        WetGlass(-1)
    with pytest.raises(ValueError, match="jpeg_quality must be 1 to 100, or 0 for none: got 101"):
        Sensor(jpeg_quality=101)
    with pytest.raises(ValueError, match="noise is 0 to 255 and gain_spread 0 to 2: got -1"):
        Sensor(noise=-1)
    with pytest.raises(ValueError, match="gain_spread 0 to 2"):
        Sensor(gain_spread=float("nan"))
