import cv2
import numpy as np
import pytest

from apanet_core.data.layouts import LAYOUTS, find_pairs, find_unpaired
from apanet_core.data.paired_folders import PairedFolders, UnpairedFolders

RELEASED = LAYOUTS["RainKITTI as released"]


def write(root, *files, size=(40, 60), grey=0):
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / file), np.full((*size, 3), grey, np.uint8))


def write_layout(root, folders, count=12, size=(40, 60)):
    for number, folder in enumerate(dict.fromkeys(folders)):
        for index in range(count):
            write(root, f"{folder}/{index:03}.png", size=size, grey=10 * number + index)


def relative(root, pairs):
    return [tuple(str(path.relative_to(root)) for path in pair) for pair in pairs]


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_paired_folders_every_layout_is_read_and_split(layout, tmp_path):
    folders = LAYOUTS[layout]
    write_layout(tmp_path, folders)
    training, validation = (PairedFolders(tmp_path, split, (16, 32)) for split in ("train", "validation"))
    assert (len(training), len(validation)) == (10, 2)
    assert not set(training.files) & set(validation.files)
    sample = validation[1]  # the eleventh pair
    numbers = list(dict.fromkeys(folders))
    assert {name: int(view[0, 0, 0]) for name, view in sample.items()} == {
        name: 10 * numbers.index(folder) + 10
        for name, folder in zip(("rainy_left", "rainy_right", "clean_left", "clean_right"), folders)
    }
    assert training[0]["rainy_left"].shape == (3, 16, 32)


def test_find_pairs_released_rainkitti_pairs_by_number(tmp_path):
    for number in ("9_10", "10_10", "000046_10"):
        for view, folder in (("2", "2_3"), ("3", "3_2")):
            write(tmp_path, f"image_{folder}_rain50/{number}_rain_{view}_50.jpg")
            write(tmp_path, f"image_{folder}_norain/{number}_norain_{view}.png")
    assert relative(tmp_path, find_pairs(tmp_path))[1] == (
        "image_2_3_rain50/10_10_rain_2_50.jpg",
        "image_3_2_rain50/10_10_rain_3_50.jpg",
        "image_2_3_norain/10_10_norain_2.png",
        "image_3_2_norain/10_10_norain_3.png",
    )
    (tmp_path / "image_3_2_norain/10_10_norain_3.png").rename(tmp_path / "image_3_2_norain/11_10_norain_3.png")
    with pytest.raises(ValueError, match=r"10_10_rain_3_50.jpg has no partner in .*image_3_2_norain.*'10_10'"):
        find_pairs(tmp_path)


@pytest.mark.parametrize(
    ("rainy", "clean"),
    [
        ("rain-7.png", "norain-7.png"),
        ("im_0001_s80_a04.png", "im_0001.png"),
        ("a_000_019_leftImg8bit_rain_alpha_0.01.png", "a_000_019_leftImg8bit.png"),
        ("photo12.jpg", "gt_12.png"),
    ],
)
def test_find_pairs_matches_names_with_rain_and_clean_parts(tmp_path, rainy, clean):
    write(tmp_path, f"rain/{rainy}", f"clean/{clean}", "rain/5.png", "clean/5.png")
    (pair,) = [pair for pair in find_pairs(tmp_path) if pair[0].name == rainy]
    assert pair[0] == pair[1]
    assert pair[2] == pair[3] == tmp_path / "clean" / clean


def test_find_pairs_variants_share_clean_image_and_split(tmp_path):
    write(tmp_path, *(f"rain/{scene}_{rain}.png" for scene in range(3) for rain in range(4)))
    write(tmp_path, *(f"norain/{scene}.png" for scene in range(3)))
    pairs = find_pairs(tmp_path)
    assert len(pairs) == 12
    assert all(pair[0].stem.split("_")[0] == pair[2].stem for pair in pairs)
    training, validation = (PairedFolders(tmp_path, split, (16, 16)) for split in ("train", "validation"))
    assert {pair[2].stem for pair in validation.files} == {"0"}
    assert {pair[2].stem for pair in training.files} == {"1", "2"}


def test_folders_equal_counts_other_names_are_refused(tmp_path):
    write_layout(tmp_path, LAYOUTS["StereoCityscapes"], count=3)
    (tmp_path / "norain/right/001.png").rename(tmp_path / "norain/right/004.png")
    with pytest.raises(ValueError, match=r"rain/right/001.png has no partner in .*norain/right.*\(3 and 3 images\)"):
        find_pairs(tmp_path)
    (tmp_path / "norain/right/004.png").unlink()
    with pytest.raises(ValueError, match=r"\(3 and 2 images\)"):
        find_pairs(tmp_path)
    write(tmp_path, "norain/right/001.png", "norain/right/003.png")
    with pytest.raises(ValueError, match=r"norain/right/003.png has no partner"):
        find_pairs(tmp_path)


def test_find_pairs_parent_of_single_data_set_is_accepted(tmp_path):
    write_layout(tmp_path / "K12/train", RELEASED, count=2)
    assert find_pairs(tmp_path) == find_pairs(tmp_path / "K12") == find_pairs(tmp_path / "K12/train")
    write_layout(tmp_path / "K12/test", RELEASED, count=2)
    with pytest.raises(ValueError, match=r"several data sets: name one of .*K12/test, .*K12/train"):
        find_pairs(tmp_path)


def test_find_pairs_subfolder_error_names_parent(tmp_path):
    write_layout(tmp_path / "set", LAYOUTS["StereoCityscapes"], count=2)
    for low in ("rain", "rain/left"):
        with pytest.raises(FileNotFoundError, match=rf"name the folder above, {tmp_path}/set$"):
            find_pairs(tmp_path / "set" / low)


def test_find_pairs_unknown_layout_is_refused(tmp_path):
    (tmp_path / "something").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no layout known here .*gt_left.*found: something"):
        find_pairs(tmp_path)
    write(tmp_path, "train/left/1.png", "train/right/1.png")
    with pytest.raises(FileNotFoundError, match="only distillation takes"):
        find_pairs(tmp_path)
    with pytest.raises(FileNotFoundError, match="no folder at"):
        find_pairs(tmp_path / "nowhere")


def test_paired_folders_crops_depend_on_seed_and_index(tmp_path):
    rng = np.random.default_rng(0)
    for folder in LAYOUTS["StereoCityscapes"]:
        (tmp_path / folder).mkdir(parents=True)
        for index in range(3):
            cv2.imwrite(str(tmp_path / folder / f"{index}.png"), rng.integers(0, 256, (40, 60, 3), dtype=np.uint8))
    first, again, other = (PairedFolders(tmp_path, "train", (16, 16), samples=1000, seed=s) for s in (0, 0, 1))
    assert len(first) == 1000
    for index in (0, 2, 999):
        assert all((first[index][name] == again[index][name]).all() for name in first[index])
    assert (first[4]["clean_left"] != other[4]["clean_left"]).any()
    assert (first[0]["clean_left"] != first[2]["clean_left"]).any()  # the same file, another crop


def test_find_unpaired_reads_stereorealrain_splits(tmp_path):
    write(
        tmp_path,
        *(f"{split}/{side}/1_{i}.png" for split in ("train", "val") for side in ("left", "right") for i in "ab"),
    )
    assert len(find_unpaired(tmp_path)) == 2
    assert find_unpaired(tmp_path, "val") == find_unpaired(tmp_path / "val")
    sample = UnpairedFolders(tmp_path, (16, 24))[1]
    assert {name: view.shape for name, view in sample.items()} == dict.fromkeys(
        ("rainy_left", "rainy_right"), (3, 16, 24)
    )
    (tmp_path / "train/right/1_b.png").unlink()
    with pytest.raises(ValueError, match="1_b.png has no partner"):
        find_unpaired(tmp_path)
    with pytest.raises(FileNotFoundError, match="expected val/left and val/right .* found: left, right"):
        find_unpaired(tmp_path / "train", "val")
