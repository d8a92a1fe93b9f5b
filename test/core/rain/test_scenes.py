import cv2
import numpy as np
import pytest
import torch

from apanet_core.data.synthetic import SyntheticRain
from apanet_core.rain.scenes import PhotoPool, random_layers, random_scene, random_street
from apanet_core.stereo.disparity import fill_unknown, to_right_view


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Smooth colour photographs, so that sub-pixel warps agree closely."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for index in range(14):
        small = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{index:02}.png"), cv2.resize(small, (480, 320), interpolation=cv2.INTER_CUBIC))
    return folder


@pytest.mark.parametrize("make", [random_layers, random_street])
def test_scene_right_view_matches_left_view_moved_by_disparity(photos, make):
    pool = PhotoPool([photos])
    shares = []
    for seed in range(12):
        scene = make(pool, (96, 160), np.random.default_rng(seed))
        columns = np.arange(160, dtype=np.float32)[None] + scene.right_disparity
        rows = np.broadcast_to(np.arange(96, dtype=np.float32)[:, None], columns.shape).copy()
        moved = cv2.remap(scene.left, columns.astype(np.float32), rows, cv2.INTER_LINEAR)
        seen = (columns < 158) & (
            np.abs(
                cv2.remap(scene.left_disparity, columns.astype(np.float32), rows, cv2.INTER_NEAREST)
                - scene.right_disparity
            )
            < 1
        )  # not hidden behind a nearer object in the left view
        error = np.abs(moved.astype(int) - scene.right).max(axis=2)[seen]
        shares.append((error <= 12).mean())
    assert np.mean(shares) > 0.97
    assert min(shares) > 0.9


def test_random_scene_disparity_is_not_negative(photos):
    pool = PhotoPool([photos])
    for seed in range(150):
        scene = random_scene(pool, (32, 64), np.random.default_rng(seed))
        assert scene.left_disparity.min() >= 0
        assert scene.right_disparity.min() >= -1e-4


def test_random_street_has_flat_ground_and_far_background(photos):
    pool = PhotoPool([photos])
    farthest, slopes = [], []
    for seed in range(20):
        scene = random_street(pool, (96, 160), np.random.default_rng(seed))
        farthest.append(float(scene.camera.depth(scene.left_disparity.min())))
        rows = np.arange(96) + 0.5 - scene.camera.cy
        for column in scene.left_disparity.T:
            ground = (np.abs(np.diff(column, 2)) < 1e-4) & (np.diff(column)[1:] > 1e-3)
            if ground.sum() > 20:  # a column that shows ground: its disparity is in proportion to the row
                seen = np.flatnonzero(ground) + 1
                slopes.append(np.ptp(column[seen] / rows[seen]) / (column[seen] / rows[seen]).mean())
    assert np.median(farthest) > 60
    assert len(slopes) > 200
    assert max(slopes) < 1e-3


def test_random_street_objects_stand_in_front_of_ground(photos):
    """Below the foot of an object the ground is nearer than the object, above it farther: no object floats behind."""
    pool = PhotoPool([photos])
    objects = 0
    for seed in range(20):
        scene = random_street(pool, (96, 160), np.random.default_rng(seed))
        background = np.median(np.diff(scene.left_disparity, axis=0)[-1])
        ground = np.maximum(np.arange(96) + 0.5 - scene.camera.cy, 0)[:, None] * max(float(background), 0)
        in_front = scene.left_disparity > ground + 0.5
        objects += in_front.mean() > 0.01
        assert (scene.left_disparity >= ground - 0.5).mean() > 0.99
    assert objects > 5


def test_photo_pool_validation_photos_are_held_out(photos):
    training, validation = PhotoPool([photos]), PhotoPool([photos], validation=True)
    assert len(training.photos) == 12
    assert len(validation.photos) == 2
    assert not any((a == b).all() for a in training.photos for b in validation.photos)


def test_photo_pool_without_photos_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected at least 2 photographs"):
        PhotoPool([tmp_path])


def test_synthetic_rain_sample_depends_on_seed_and_index(photos):
    first, again, other = (SyntheticRain([photos], (64, 96), 10, seed)[3] for seed in (0, 0, 1))
    for name, value in first.items():  # a disparity that is not known is not a number
        torch.testing.assert_close(again[name], value, rtol=0, atol=0, equal_nan=True)
    assert (first["clean_left"] != other["clean_left"]).any()
    assert first["rainy_left"].shape == (3, 64, 96)


def test_fill_unknown_takes_background_disparity():
    row = np.array([[np.nan, 9, np.nan, np.nan, 2, np.nan]])
    np.testing.assert_array_equal(fill_unknown(row), [[9, 9, 2, 2, 2, 2]])
    np.testing.assert_array_equal(fill_unknown(np.full((1, 3), np.nan)), np.zeros((1, 3)))


def test_to_right_view_overlap_takes_nearer_surface():
    left = np.array([[1, 1, 1, 4, 4, 4, 1, 1, 1, 1]], np.float32)  # columns 3..5 land on -1..1
    np.testing.assert_array_equal(to_right_view(left), [[4, 4, 1, 1, 1, 1, 1, 1, 1, 1]])


def test_synthetic_rain_single_image_has_equal_views(photos):
    samples = SyntheticRain([photos], (64, 96), 10, single_image=1.0)
    rainy = 0
    for index in range(len(samples)):
        sample = samples[index]
        assert (sample["rainy_left"] == sample["rainy_right"]).all()
        assert (sample["clean_left"] == sample["clean_right"]).all()
        rainy += bool((sample["rainy_left"] != sample["clean_left"]).any())
    assert rainy > 5


def test_synthetic_rain_single_photo_is_refused(tmp_path, photos):
    (tmp_path / "one.png").write_bytes(next(photos.glob("*.png")).read_bytes())
    with pytest.raises(FileNotFoundError, match="expected at least 2 photographs .* found 1"):
        SyntheticRain([tmp_path], (64, 96), 10)
