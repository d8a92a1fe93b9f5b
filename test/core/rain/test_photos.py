import numpy as np

from apanet_core.images.files import write_image
from apanet_core.rain.photos import LONGEST_SIDE_PX, read_photos


def test_read_photos_large_image_is_downscaled(tmp_path):
    write_image(tmp_path / "a.png", np.zeros((8, 12, 3), np.uint8))
    write_image(tmp_path / "b.jpg", np.full((1200, 2 * LONGEST_SIDE_PX, 3), 90, np.uint8))
    assert read_photos([tmp_path], validation=True)[0].shape == (8, 12, 3)
    (large,) = read_photos([tmp_path])
    assert large.shape == (600, LONGEST_SIDE_PX, 3)
    assert large.mean() == 90


def photographs(folder, values):
    folder.mkdir(parents=True)
    for value in values:
        write_image(folder / f"{value}.png", np.full((20, 30, 3), value, np.uint8))
    return folder


def values_of(photos):
    return [int(photo[0, 0, 0]) for photo in photos]


def test_split_stays_after_a_folder_was_renamed(tmp_path):
    folders = [photographs(tmp_path / "b", range(1, 16)), photographs(tmp_path / "c", range(21, 36))]
    before = [values_of(read_photos(folders, validation)) for validation in (False, True)]
    moved = folders[0].rename(tmp_path / "z")
    assert [values_of(read_photos([moved, folders[1]], validation)) for validation in (False, True)] == before


def test_photograph_in_two_folders_is_in_one_split(tmp_path):
    inner = photographs(tmp_path / "all" / "inner", range(1, 16))
    photographs(tmp_path / "all" / "outer", range(21, 36))
    training, validation = (values_of(read_photos([tmp_path / "all", inner], split)) for split in (False, True))
    assert sorted(training + validation) == [*range(1, 16), *range(21, 36)]


def test_copies_of_a_photograph_count_once(tmp_path):
    photographs(tmp_path / "all", range(1, 16))
    for number, photo in enumerate(sorted((tmp_path / "all").iterdir())):
        (tmp_path / "all" / f"copy {number}.png").write_bytes(photo.read_bytes())
    training, validation = (values_of(read_photos([tmp_path / "all"], split)) for split in (False, True))
    assert sorted(training + validation) == [*range(1, 16)]
