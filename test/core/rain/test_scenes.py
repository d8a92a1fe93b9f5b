import cv2
import numpy as np
import pytest
import torch

from apanet_core.data.synthetic import SyntheticRain
from apanet_core.rain.counter_random import CounterRandom
from apanet_core.rain.marked_photos import training_atlas
from apanet_core.rain.photos import read_photos
from apanet_core.rain.scenes import occluded, random_scenes
from apanet_core.rain.surfaces import STREETS, WHOLE_PHOTOS, random_surfaces
from apanet_core.stereo.disparity import fill_unknown, to_right_view

SIZE = (96, 160)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Smooth colour photographs, so that sub-pixel warps agree closely."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for index in range(14):
        small = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{index:02}.png"), cv2.resize(small, (480, 320), interpolation=cv2.INTER_CUBIC))
    return folder


@pytest.fixture(scope="module")
def atlas(photos):
    return training_atlas([photos], 0)


@pytest.fixture(scope="module")
def streets(atlas):
    random = CounterRandom(0, torch.arange(60))
    scenes = random_scenes(atlas, SIZE, random)
    return scenes.of(random.happens("street", STREETS).nonzero()[:, 0])


def test_scenes_right_view_matches_left_view_moved_by_disparity(atlas):
    scenes = random_scenes(atlas, SIZE, CounterRandom(1, torch.arange(24)))
    hidden = occluded(scenes.disparity)[:, 1].numpy()
    shares = []
    rows, start = (axis.astype(np.float32) for axis in np.mgrid[: SIZE[0], : SIZE[1]])
    for (left, right), (_, disparity), unseen in zip(scenes.views, scenes.disparity.numpy(), hidden):
        columns = start + disparity
        moved = cv2.remap(left.permute(1, 2, 0).numpy(), columns, rows, cv2.INTER_LINEAR)
        seen = (columns < SIZE[1] - 2) & ~unseen
        error = np.abs(moved - right.permute(1, 2, 0).numpy()).max(axis=2)[seen]
        shares.append((error <= 12).mean())
    assert np.mean(shares) > 0.97
    assert min(shares) > 0.85


def test_whole_photograph_runs_on_from_backdrop_to_ground(atlas):
    random = CounterRandom(3, torch.arange(40))
    whole = random.happens("street", STREETS) & random.happens("whole photograph", WHOLE_PHOTOS)
    _, surfaces = random_surfaces(atlas, SIZE, random)
    assert whole.sum() > 4

    def read_at(layer, x, y):
        u = surfaces.u[:, layer] + surfaces.step_u[:, layer] * (x - surfaces.column[:, layer])
        v = surfaces.v[:, layer] + surfaces.step_v[:, layer] * (y - surfaces.row[:, layer])
        return torch.stack([surfaces.photo[:, layer].float(), u, v], dim=1)[whole]

    for x, y in ((0.0, 0.0), (120.0, 70.0)):
        torch.testing.assert_close(read_at(1, x, y), read_at(0, x, y), atol=0.01, rtol=1e-4)
    others = random.happens("street", STREETS) & ~whole
    assert torch.all(surfaces.per_m[others, 1] > 0)
    assert torch.all(surfaces.per_m[whole] == 0)


def test_scenes_disparity_is_not_negative(atlas):
    scenes = random_scenes(atlas, (32, 64), CounterRandom(2, torch.arange(150)))
    assert scenes.disparity.min() >= 0
    assert scenes.views.min() >= 0
    assert scenes.views.max() <= 255


def test_streets_have_flat_ground_and_far_background(streets):
    farthest, slopes = [], []
    cameras = streets.cameras
    for number, (disparity, _) in enumerate(streets.disparity.numpy()):
        farthest.append(float(cameras.focal_px[number] * cameras.baseline_m[number]) / disparity.min())
        rows = np.arange(SIZE[0]) + 0.5 - float(cameras.cy[number])
        for column in disparity.T:
            ground = (np.abs(np.diff(column, 2)) < 1e-3) & (np.diff(column)[1:] > 1e-2)
            if ground.sum() > 20:  # a column that shows ground: its disparity is in proportion to the row
                seen = np.flatnonzero(ground) + 1
                slopes.append(np.ptp(column[seen] / rows[seen]) / (column[seen] / rows[seen]).mean())
    assert np.median(farthest) > 60
    assert len(slopes) > 200
    assert np.median(slopes) < 1e-2


def test_synthetic_rain_sample_depends_on_seed_and_index(atlas):
    first, again, other = (SyntheticRain(atlas, (64, 96), 10, seed)[3] for seed in (0, 0, 1))
    together = SyntheticRain(atlas, (64, 96), 10, 0).__getitems__([5, 3])[1]
    for name, value in first.items():  # a disparity that is not known is not a number
        torch.testing.assert_close(again[name], value, rtol=0, atol=0, equal_nan=True)
        torch.testing.assert_close(together[name], value, rtol=0, atol=0, equal_nan=True)
    assert (first["clean_left"] != other["clean_left"]).any()
    assert first["rainy_left"].shape == (3, 64, 96)


def test_fill_unknown_takes_background_disparity():
    row = np.array([[np.nan, 9, np.nan, np.nan, 2, np.nan]])
    np.testing.assert_array_equal(fill_unknown(row), [[9, 9, 2, 2, 2, 2]])
    np.testing.assert_array_equal(fill_unknown(np.full((1, 3), np.nan)), np.zeros((1, 3)))


def test_to_right_view_overlap_takes_nearer_surface():
    left = np.array([[1, 1, 1, 4, 4, 4, 1, 1, 1, 1]], np.float32)  # columns 3..5 land on -1..1
    np.testing.assert_array_equal(to_right_view(left), [[4, 4, 1, 1, 1, 1, 1, 1, 1, 1]])


def test_synthetic_rain_single_image_has_equal_views(atlas):
    samples = SyntheticRain(atlas, (64, 96), 10, single_image=1.0)
    rainy = 0
    for sample in samples.__getitems__(range(10)):
        assert (sample["rainy_left"] == sample["rainy_right"]).all()
        assert (sample["clean_left"] == sample["clean_right"]).all()
        rainy += bool((sample["rainy_left"] != sample["clean_left"]).any())
    assert rainy > 4


def test_read_photos_single_photo_is_refused(tmp_path, photos):
    (tmp_path / "one.png").write_bytes(next(photos.glob("*.png")).read_bytes())
    with pytest.raises(FileNotFoundError, match="expected at least 2 photographs .* found 1"):
        read_photos([tmp_path])


def test_read_photos_validation_photos_are_held_out(photos):
    training, validation = read_photos([photos]), read_photos([photos], validation=True)
    assert (len(training), len(validation)) == (12, 2)
    assert not any((a == b).all() for a in training for b in validation)
