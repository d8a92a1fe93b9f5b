import cv2
import numpy as np
import pytest

from apanet_core.data.disparity import fill_unknown, to_right_view
from apanet_core.data.scenes import PhotoPool, random_scene
from apanet_core.data.synthetic import SyntheticRain


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Smooth colour photographs, so that sub-pixel warps agree closely."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for index in range(14):
        small = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{index:02}.png"), cv2.resize(small, (480, 320), interpolation=cv2.INTER_CUBIC))
    return folder


def test_right_view_is_the_left_one_moved_by_its_disparity(photos):
    pool = PhotoPool([photos])
    shares = []
    for seed in range(12):
        scene = random_scene(pool, (96, 160), np.random.default_rng(seed))
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


def test_disparities_are_never_negative(photos):
    pool = PhotoPool([photos])
    for seed in range(30):
        scene = random_scene(pool, (64, 96), np.random.default_rng(seed))
        assert scene.left_disparity.min() >= 0
        assert scene.right_disparity.min() >= -1e-4


def test_validation_photographs_are_held_out(photos):
    training, validation = PhotoPool([photos]), PhotoPool([photos], validation=True)
    assert len(training.photos) == 12
    assert len(validation.photos) == 2
    assert not any((a == b).all() for a in training.photos for b in validation.photos)


def test_no_photographs_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no photographs"):
        PhotoPool([tmp_path])


def test_samples_are_a_function_of_seed_and_index(photos):
    first, again, other = (SyntheticRain([photos], (64, 96), 10, seed)[3] for seed in (0, 0, 1))
    assert all((first[name] == again[name]).all() for name in first)
    assert (first["clean_left"] != other["clean_left"]).any()
    assert first["rainy_left"].shape == (3, 64, 96)


def test_unknown_disparity_is_filled_from_the_background():
    row = np.array([[np.nan, 9, np.nan, np.nan, 2, np.nan]])
    np.testing.assert_array_equal(fill_unknown(row), [[9, 9, 2, 2, 2, 2]])
    np.testing.assert_array_equal(fill_unknown(np.full((1, 3), np.nan)), np.zeros((1, 3)))


def test_right_view_of_a_step_keeps_the_nearer_surface():
    left = np.array([[1, 1, 1, 4, 4, 4, 1, 1, 1, 1]], np.float32)  # columns 3..5 land on -1..1
    np.testing.assert_array_equal(to_right_view(left), [[4, 4, 1, 1, 1, 1, 1, 1, 1, 1]])
