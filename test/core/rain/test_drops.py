"""Drops of the renderer and of the second renderer of tools/, which must obey the same geometry."""

import numpy as np
import pytest
import torch

from apanet_core.rain.counter_random import CounterRandom
from apanet_core.rain.drops import Drops, Rain, coverage_s, draw_drops
from apanet_core.rain.records import per_sample
from apanet_core.rain.render import render_rain
from apanet_core.rain.surfaces import Cameras
from apanet_core.rain.weather import Weather
from apanet_core.stereo.camera import StereoCamera
from tools.second_renderer import drops as second_drops
from tools.second_renderer.light import to_linear
from tools.second_renderer.render import render_rain as second_render_rain

KITTI = StereoCamera(focal_px=721.5, baseline_m=0.54, cx=120, cy=60)
SIZE = (120, 640)
FAR = np.zeros(SIZE, np.float32)
CPU = torch.device("cpu")


def cameras(camera=KITTI):
    values = camera.focal_px, camera.baseline_m, camera.cx, camera.cy, camera.disparity_offset
    return Cameras(*(torch.tensor([float(value)]) for value in values))


class First:
    """The renderer of the package."""

    def coverage(self, start, fall, diameter_mm, disparity, right, rain):
        start = torch.tensor(start)[:, None]
        drop = Drops(
            torch.tensor([0]),
            start,
            start + torch.tensor([[0.0], [fall], [0.0]]),
            torch.tensor([diameter_mm]),
            torch.ones(1),
        )
        both = torch.from_numpy(np.stack([disparity, disparity]))[None]
        return coverage_s(drop, cameras(), per_sample(Rain(**rain), 1, CPU), both)[0, int(right)].numpy()

    def drops(self, seed=0, **rain):
        drawn = draw_drops(cameras(), SIZE, per_sample(Rain(**rain), 1, CPU), CounterRandom(seed, torch.tensor([0])))
        return drawn.start_m.numpy().T, drawn.end_m.numpy().T, drawn.diameter_mm.numpy()

    def render(self, views, disparity, seed=0, **rain):
        pair = render_rain(
            views, (disparity, disparity), KITTI, Weather(Rain(**rain)), CounterRandom(seed, torch.tensor([0]))
        )
        return pair.left, pair.right


class Second:
    """The renderer of tools/second_renderer."""

    def coverage(self, start, fall, diameter_mm, disparity, right, rain):
        start = np.array([start])
        drop = second_drops.Drops(start, start + [[0, fall, 0]], np.array([diameter_mm / 1000]))
        return second_drops.coverage_time_s(drop, KITTI, second_drops.Rain(**rain), disparity, right)

    def drops(self, seed=0, **rain):
        drawn = second_drops.sample_drops(KITTI, SIZE, second_drops.Rain(**rain), np.random.default_rng(seed))
        return drawn.start, drawn.end, 1000 * drawn.diameter_m

    def render(self, views, disparity, seed=0, **rain):
        rain = second_drops.Rain(**rain)
        return second_render_rain(*views, disparity, disparity, KITTI, rain, np.random.default_rng(seed))


@pytest.fixture(params=[First(), Second()], ids=["first", "second"])
def renderer(request):
    return request.param


def one_drop(renderer, disparity=FAR, right=False, x=0.5, z=2.0):
    """Return the coverage of a 2 mm drop that falls 66 mm in 10 ms, through a pinhole."""
    rain = {"rate_mm_h": 50.0, "exposure_s": 0.01, "aperture_px": 0.0}
    return renderer.coverage([x, -0.03, z], 0.066, 2.0, disparity, right, rain)


def centre(image):
    rows, columns = np.nonzero(image)
    weights = image[rows, columns]
    return np.average(rows, weights=weights), np.average(columns, weights=weights)


@pytest.mark.parametrize("z", [1.2, 2.0, 5.0])
def test_drop_appears_on_equal_row_at_true_disparity(renderer, z):
    views = [one_drop(renderer, right=right, z=z, x=0.9 * z / 2) for right in (False, True)]
    (row_left, column_left), (row_right, column_right) = (centre(view) for view in views)
    assert row_left == pytest.approx(row_right, abs=1e-2)
    assert column_left - column_right == pytest.approx(721.5 * 0.54 / z, abs=0.02)


@pytest.mark.parametrize(("z", "width_px", "length_px"), [(0.7, 2.1, 67), (2.0, 0.72, 24), (5.0, 0.29, 9)])
def test_streak_size_matches_computed_values(renderer, z, width_px, length_px):
    """Width, length of a 2 mm drop at f 721.5 px and 10 ms, as computed by hand."""
    covered = one_drop(renderer, z=z, x=0.4)
    rows = np.nonzero(covered.sum(axis=1))[0]
    assert rows.max() - rows.min() + 1 == pytest.approx(length_px + width_px, abs=3)
    expected = 0.01 * width_px / (length_px + width_px) * width_px * (length_px + width_px)
    assert covered.sum() == pytest.approx(expected, rel=0.1)


def test_drops_behind_scene_are_not_drawn(renderer):
    near_wall = np.full(SIZE, KITTI.disparity(1.5), np.float32)
    assert one_drop(renderer, near_wall).max() == 0
    assert one_drop(renderer, near_wall, z=1.2).max() > 0
    half = near_wall.copy()
    half[:, 320:] = 0  # the left camera sees the drop, the wall hides it from the right one
    assert one_drop(renderer, half, x=0.7).max() > 0
    assert one_drop(renderer, half, x=0.7, right=True).max() == 0


def test_drops_forward_camera_motion_makes_streaks_radial(renderer):
    start, end, _ = renderer.drops(rate_mm_h=50.0, camera_mps=15.0)
    keep = end[:, 2] > 0.3
    start, end = start[keep], end[keep]
    outward = end[:, 0] / end[:, 2] - start[:, 0] / start[:, 2]
    assert (outward * start[:, 0] >= 0).all()  # away from the axis, on either side of it


def test_drops_number_and_size_grow_with_rain_rate(renderer):
    drizzle, cloudburst = (renderer.drops(rate_mm_h=rate)[2] for rate in (5.0, 100.0))
    assert len(cloudburst) > 2 * len(drizzle)
    assert cloudburst.mean() > drizzle.mean()


def test_drops_fill_view_evenly(renderer):
    start, _, _ = renderer.drops(rate_mm_h=100.0)
    u = 721.5 * start[:, 0] / start[:, 2] + 120
    counts = np.histogram(u[(u > 0) & (u < 640)], 4)[0]
    assert counts.max() / counts.min() < 1.2


def test_renderers_agree_on_depths_and_sizes():
    (first, _, first_mm), (second, _, second_mm) = (r.drops(rate_mm_h=50.0) for r in (First(), Second()))
    for quantile in (0.1, 0.5, 0.9):
        assert np.quantile(first[:, 2], quantile) == pytest.approx(np.quantile(second[:, 2], quantile), rel=0.05)
    assert first_mm.mean() == pytest.approx(second_mm.mean(), rel=0.02)
    assert len(first) == pytest.approx(len(second), rel=0.05)


@pytest.mark.parametrize("aperture_px", [0.0, 1.5, 10.0])
def test_renderers_agree_on_light_of_drops(aperture_px):
    """Drops farther than 0.3 m: the first renderer has nearer ones than the second."""
    shower = {"rate_mm_h": 50.0, "exposure_s": 0.01, "aperture_px": aperture_px}
    first, second = 0.0, 0.0
    for seed in range(6):
        drops = draw_drops(cameras(), SIZE, per_sample(Rain(**shower), 1, CPU), CounterRandom(seed, torch.tensor([0])))
        far = (drops.start_m[2] > 0.3).nonzero()[:, 0]
        drops = Drops(*(values.index_select(-1, far) for values in drops))
        covered = coverage_s(drops, cameras(), per_sample(Rain(**shower), 1, CPU), torch.zeros(1, 2, *SIZE))
        first += float(covered.mean())
        rain = second_drops.Rain(**shower)
        drawn = second_drops.sample_drops(KITTI, SIZE, rain, np.random.default_rng(seed))
        far = drawn.start[:, 2] > 0.3
        drawn = second_drops.Drops(drawn.start[far], drawn.end[far], drawn.diameter_m[far])
        views = [second_drops.coverage_time_s(drawn, KITTI, rain, FAR, right) for right in (False, True)]
        second += float(np.mean(views))
    assert first == pytest.approx(second, rel=0.05)


def test_drops_beyond_limit_give_their_light_to_others():
    size, rain = (64, 64), {"rate_mm_h": 120.0, "exposure_s": 0.002, "aperture_px": 0.0}
    camera = StereoCamera(focal_px=150, baseline_m=0.3, cx=32, cy=32)
    covered = {}
    for limit in (0.02, 10.0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("apanet_core.rain.drops.MOST_DROPS", limit)
            shower = per_sample(Rain(**rain), 40, CPU)
            many = Cameras(*(value.expand(40) for value in cameras(camera).__dict__.values()))
            drops = draw_drops(many, size, shower, CounterRandom(1, torch.arange(40)))
            covered[limit] = float(coverage_s(drops, many, shower, torch.zeros(40, 2, *size)).mean())
    assert covered[0.02] == pytest.approx(covered[10.0], rel=0.15)


def test_blur_spreads_light_of_drop_and_wind_moves_drop():
    rain = {"rate_mm_h": 50.0, "exposure_s": 0.01}
    sharp, blurred = (
        First().coverage([0.5, -0.03, 1.0], 0.03, 2.0, FAR, False, rain | {"aperture_px": aperture})
        for aperture in (0.0, 8.0)
    )
    assert blurred.sum() == pytest.approx(sharp.sum(), rel=0.05)
    assert blurred.max() < 0.5 * sharp.max()
    start, end, _ = First().drops(rate_mm_h=50.0, wind_mps=20.0, exposure_s=0.02)
    assert (end - start)[:, 0] == pytest.approx(0.4, abs=1e-5)
    u = 721.5 * start[:, 0] / start[:, 2] + 120
    later = 721.5 * (start[:, 0] + 0.4) / start[:, 2] + 120
    counts = np.histogram(np.where(u < 0, later, u), [0, 160, 320, 480, 640])[0]
    assert counts.min() > 0.6 * counts.max()  # streaks that enter from the left, too


def clean_pair():
    rng = np.random.default_rng(1)
    return rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8), rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def test_render_rain_rate_zero_returns_input(renderer):
    views = clean_pair()
    for rainy, view in zip(renderer.render(views, FAR + 9, rate_mm_h=0.0), views):
        np.testing.assert_array_equal(rainy, view)


def test_render_rain_equal_seed_equal_image(renderer):
    images = [renderer.render(clean_pair(), FAR + 9, seed, rate_mm_h=30.0)[0] for seed in (3, 3, 4)]
    np.testing.assert_array_equal(images[0], images[1])
    assert (images[0] != images[2]).any()


@pytest.mark.parametrize(("rate", "transmission"), [(10.0, 0.86), (25.0, 0.76), (50.0, 0.65), (100.0, 0.51)])
def test_veil_grows_with_distance_and_matches_transmission(renderer, rate, transmission):
    """Transmission at 100 m: 0.86 / 0.76 / 0.65 / 0.51 at 10 / 25 / 50 / 100 mm/h."""
    checker = np.indices(SIZE).sum(axis=0) % 2 * 255
    image = np.repeat(checker[..., None], 3, axis=2).astype(np.uint8)
    contrast = []
    for depth in (1.0, 100.0, 500.0):
        disparity = np.full(SIZE, KITTI.disparity(depth), np.float32)
        rainy, _ = renderer.render((image, image), disparity, rate_mm_h=rate, brightness=0.0, exposure_s=1e-6)
        light = to_linear(rainy)
        contrast.append(np.quantile(light, 0.9) - np.quantile(light, 0.1))
    assert contrast[1] == pytest.approx(transmission, abs=0.03)
    assert contrast[0] > contrast[1] > contrast[2]


OFF_AXIS = StereoCamera(focal_px=700, baseline_m=0.2, cx=300, cy=60, cx_right=330)


@pytest.mark.parametrize(("wall_m", "seen"), [(1.5, False), (3.0, True)])
def test_off_axis_scene_hides_drops_behind(wall_m, seen):
    start = torch.tensor([[0.3], [-0.03], [2.0]])
    drop = Drops(torch.tensor([0]), start, start + torch.tensor([[0], [0.06], [0]]), torch.tensor([2.0]), torch.ones(1))
    wall = torch.full((1, 2, *SIZE), float(OFF_AXIS.disparity(wall_m)))
    covered = coverage_s(drop, cameras(OFF_AXIS), per_sample(Rain(50.0), 1, CPU), wall)
    assert (covered.amax((2, 3)) > 0).tolist() == [[seen, seen]]


def test_veil_off_axis_depends_on_depth():
    image = np.zeros((*SIZE, 3), np.uint8)
    image[:10] = 255
    rain = Weather(Rain(50.0, brightness=0.0, exposure_s=1e-6))
    lit = []
    for camera in (KITTI, StereoCamera(721.5, 0.54, 120, 60, cx_right=150)):
        disparity = np.full(SIZE, camera.disparity(60.0), np.float32)
        lit.append(
            render_rain((image, image), (disparity, disparity), camera, rain, CounterRandom(0, torch.tensor([0])))
        )
    for rows in (slice(0, 9), slice(20, 120)):  # sky and ground; a few pixels have drops
        values = [float(np.median(pair.left[rows])) for pair in lit]
        assert values[0] == pytest.approx(values[1], abs=1)
        assert 20 < values[0] < 250


def test_drops_off_axis_right_camera_gives_true_disparity():
    camera = OFF_AXIS
    rain = per_sample(Rain(50.0, aperture_px=0.0), 1, CPU)
    start = torch.tensor([[0.3], [-0.03], [2.0]])
    drop = Drops(torch.tensor([0]), start, start + torch.tensor([[0], [0.06], [0]]), torch.tensor([2.0]), torch.ones(1))
    covered = coverage_s(drop, cameras(camera), rain, torch.full((1, 2, *SIZE), -100.0))[0].numpy()
    columns = [centre(view)[1] for view in covered]
    assert columns[0] - columns[1] == pytest.approx(camera.disparity(2.0), abs=0.02)


def test_rain_and_camera_bad_values_are_refused():
    with pytest.raises(ValueError, match="rate from 0 to 1000 mm/h"):
        Rain(-1)
    with pytest.raises(ValueError, match="up to 10 s: got 1, 1e\\+20"):
        Rain(1, exposure_s=1e20)
    with pytest.raises(ValueError, match="camera_mps from -100 to 100"):
        Rain(1, camera_mps=float("nan"))
    with pytest.raises(ValueError, match="focus_m > 0"):
        Rain(1, focus_m=0)
    with pytest.raises(ValueError, match="baseline_m above 0"):
        StereoCamera(700, 0, 0, 0)
