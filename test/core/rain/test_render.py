import numpy as np
import pytest

from apanet_core.rain.drops import Drops, Rain, coverage_time_s, sample_drops
from apanet_core.rain.light import to_linear, to_srgb
from apanet_core.rain.render import render_rain
from apanet_core.stereo.camera import StereoCamera

KITTI = StereoCamera(focal_px=721.5, baseline_m=0.54, cx=120, cy=60)
SIZE = (120, 640)
FAR = np.zeros(SIZE, np.float32)


def one_drop(x=0.5, z=2.0, diameter=0.002, fall=0.066):
    start = np.array([[x, -0.03, z]])
    return Drops(start, start + [[0, fall, 0]], np.array([diameter]))


def centre(image):
    rows, columns = np.nonzero(image)
    weights = image[rows, columns]
    return np.average(rows, weights=weights), np.average(columns, weights=weights)


@pytest.mark.parametrize("z", [1.2, 2.0, 5.0])
def test_drop_appears_on_equal_row_at_true_disparity(z):
    views = [
        coverage_time_s(one_drop(z=z, x=0.9 * z / 2), KITTI, Rain(50, aperture_px=0), FAR, right)
        for right in (False, True)
    ]
    (row_left, column_left), (row_right, column_right) = (centre(view) for view in views)
    assert row_left == pytest.approx(row_right, abs=1e-3)
    assert column_left - column_right == pytest.approx(721.5 * 0.54 / z, abs=0.01)


@pytest.mark.parametrize(("z", "width_px", "length_px"), [(0.7, 2.1, 67), (2.0, 0.72, 24), (5.0, 0.29, 9)])
def test_streak_size_matches_computed_values(z, width_px, length_px):
    """Width, length of a 2 mm drop at f 721.5 px and 10 ms, as computed by hand."""
    rain = Rain(50, exposure_s=0.01, aperture_px=0)
    covered = coverage_time_s(one_drop(z=z, x=0.4), KITTI, rain, FAR, right=False)
    rows = np.nonzero(covered.sum(axis=1))[0]
    assert rows.max() - rows.min() + 1 == pytest.approx(length_px + width_px, abs=3)
    expected = rain.exposure_s * width_px / (length_px + width_px) * width_px * (length_px + width_px)
    assert covered.sum() == pytest.approx(expected, rel=0.1)


def test_drops_behind_scene_are_not_drawn():
    rain = Rain(50, aperture_px=0)
    near_wall = np.full(SIZE, KITTI.disparity(1.5), np.float32)
    assert coverage_time_s(one_drop(z=2.0), KITTI, rain, near_wall, right=False).max() == 0
    assert coverage_time_s(one_drop(z=1.2), KITTI, rain, near_wall, right=False).max() > 0
    half = near_wall.copy()
    half[:, 320:] = 0  # the left camera sees the drop, the wall hides it from the right one
    drop = one_drop(z=2.0, x=0.7)
    assert coverage_time_s(drop, KITTI, rain, half, right=False).max() > 0
    assert coverage_time_s(drop, KITTI, rain, half, right=True).max() == 0


def test_drops_forward_camera_motion_makes_streaks_radial():
    rng = np.random.default_rng(0)
    drops = sample_drops(KITTI, SIZE, Rain(50, camera_mps=15), rng)
    keep = drops.end[:, 2] > 0.3
    start, end = drops.start[keep], drops.end[keep]
    outward = end[:, 0] / end[:, 2] - start[:, 0] / start[:, 2]
    assert (outward * start[:, 0] >= 0).all()  # away from the axis, on either side of it


def test_drops_number_and_size_grow_with_rain_rate():
    drizzle, cloudburst = (sample_drops(KITTI, SIZE, Rain(r), np.random.default_rng(0)) for r in (5, 100))
    assert len(cloudburst.diameter_m) > 2 * len(drizzle.diameter_m)
    assert cloudburst.diameter_m.mean() > drizzle.diameter_m.mean()


def test_sample_drops_fill_view_evenly():
    drops = sample_drops(KITTI, SIZE, Rain(100), np.random.default_rng(0))
    u = 721.5 * drops.start[:, 0] / drops.start[:, 2] + 120
    inside = u[(u > 0) & (u < 640)]
    counts = np.histogram(inside, 4)[0]
    assert counts.max() / counts.min() < 1.2


def clean_pair():
    rng = np.random.default_rng(1)
    return rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8), rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def test_render_rain_rate_zero_returns_input():
    left, right = clean_pair()
    pair = render_rain(left, right, FAR + 9, FAR + 9, KITTI, Rain(0), np.random.default_rng(0))
    np.testing.assert_array_equal(pair.left, left)
    np.testing.assert_array_equal(pair.right, right)
    assert not pair.left_mask.any()


def test_render_equal_seed_equal_image():
    left, right = clean_pair()
    images = [
        render_rain(left, right, FAR + 9, FAR + 9, KITTI, Rain(30), np.random.default_rng(s)).left for s in (3, 3, 4)
    ]
    np.testing.assert_array_equal(images[0], images[1])
    assert (images[0] != images[2]).any()


def test_veil_grows_with_distance_and_matches_transmission():
    """Transmission at 100 m: 0.86 / 0.76 / 0.65 / 0.51 at 10 / 25 / 50 / 100 mm/h."""
    for rate, transmission in ((10, 0.86), (25, 0.76), (50, 0.65), (100, 0.51)):
        assert np.exp(-100 * Rain(rate).extinction_per_m) == pytest.approx(transmission, abs=0.01)
    checker = np.indices(SIZE).sum(axis=0) % 2 * 255
    image = np.repeat(checker[..., None], 3, axis=2).astype(np.uint8)
    contrast = []
    for depth in (10.0, 100.0, 500.0):
        disparity = np.full(SIZE, KITTI.disparity(depth), np.float32)
        rainy = render_rain(
            image, image, disparity, disparity, KITTI, Rain(50, brightness=0), np.random.default_rng(0)
        ).left
        contrast.append(to_linear(rainy).std())
    assert contrast[0] > contrast[1] > contrast[2]


def test_srgb_round_trip_returns_equal_codes():
    codes = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(np.rint(to_srgb(to_linear(codes))), codes)


def test_rain_and_camera_bad_values_are_refused():
    with pytest.raises(ValueError, match="rate >= 0"):
        Rain(-1)
    with pytest.raises(ValueError, match="baseline_m must be positive"):
        StereoCamera(700, 0, 0, 0)
