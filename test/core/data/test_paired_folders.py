import numpy as np
import pytest

from apanet_core.data.paired_folders import PairedFolders, check_files
from apanet_core.images.files import write_image


def make(root, names):
    for folder in ("rain_left", "rain_right", "gt_left", "gt_right"):
        (root / folder).mkdir(parents=True)
        for name in names:
            write_image(root / folder / f"{name}.png", np.zeros((16, 16, 3), np.uint8))
    return root


def split(root):
    return [{files[2].stem for files in PairedFolders(root, part, (16, 16)).files} for part in ("train", "validation")]


@pytest.mark.parametrize("joint", ["_", "-", ""])
def test_paired_folders_split_groups_frames_by_scene(tmp_path, joint):
    names = [f"scene{scene:02}x{joint}{frame:03}" for scene in range(20) for frame in range(4)]
    train, validation = split(make(tmp_path, names))
    assert len(train) + len(validation) == 80
    assert {name[:8] for name in validation} == {"scene00x", "scene10x"}
    assert not {name[:8] for name in train} & {name[:8] for name in validation}


@pytest.mark.parametrize(
    "names", [[f"{n:06}" for n in range(20)], [f"{n:06}_10" for n in range(20)], [f"a_{n}" for n in range(20)]]
)
def test_paired_folders_single_sequence_is_split_by_frame(tmp_path, names):
    _, validation = split(make(tmp_path, names))
    assert validation == {sorted(names)[0], sorted(names)[10]}


@pytest.mark.parametrize("damage", ["small", "cut"])
def test_check_files_names_the_bad_one_of_many(tmp_path, damage):
    files = [tmp_path / f"{number}.png" for number in range(12)]
    for path in files:
        write_image(path, np.zeros((40, 60, 3), np.uint8))
    check_files([(path, path, path, path) for path in files], (40, 60))
    if damage == "small":
        write_image(files[7], np.zeros((30, 60, 3), np.uint8))
    else:
        files[7].write_bytes(files[7].read_bytes()[:20])
    with pytest.raises(ValueError, match=r"7\.png"):
        check_files([(path, path) for path in files], (40, 60))
