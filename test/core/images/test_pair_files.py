import pytest

from apanet_core.images.pair_files import match_pairs


def write(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (("a.jpg", "b.png"), ("a.png", "b.png")),
        (("a_left.png", "b_left.png"), ("a_right.png", "b_right.png")),
        (("1_L.png", "2_L.png"), ("1_R.png", "2_R.png")),
        (("left_0001.png", "left_0002.png"), ("right_0001.png", "right_0002.png")),
        (
            ("a_1_leftImg8bit_rain.png", "a_2_leftImg8bit_rain.png"),
            ("a_1_rightImg8bit_rain.png", "a_2_rightImg8bit_rain.png"),
        ),
        (("cam0_7.png", "cam0_12.png"), ("cam0_7.png", "cam0_12.png")),
        (("007.png", "012.png"), ("frame_7.png", "frame_12.png")),
    ],
)
def test_match_pairs_pairs_files_by_common_name_parts(tmp_path, left, right):
    write(tmp_path / "left", *left)
    write(tmp_path / "right", *right)
    pairs = match_pairs(tmp_path / "left", tmp_path / "right")
    assert {(one.name, other.name) for one, other in pairs} == set(zip(left, right))


@pytest.mark.parametrize(
    ("left", "right", "message"),
    [
        (("a.png", "b.png"), ("a.png",), "left/b.png has no partner in .*right: expected 'b' in its name"),
        (("a.png",), ("a.png", "c.png"), "right/c.png has no partner in .*left"),
        (("a.png", "a.jpg"), ("a.png",), "two images named 'a'"),
        (("a.png",), (), "images without partners: 1 on one side and 0 on the other"),
    ],
)
def test_match_pairs_unpaired_or_duplicate_images_are_refused(tmp_path, left, right, message):
    write(tmp_path / "left", *left)
    write(tmp_path / "right", *right)
    with pytest.raises(ValueError, match=message):
        match_pairs(tmp_path / "left", tmp_path / "right")


def test_match_pairs_bad_paths_are_refused(tmp_path):
    write(tmp_path / "left", "a.png")
    write(tmp_path, "right.png")
    with pytest.raises(ValueError, match="must both be images or both be folders"):
        match_pairs(tmp_path / "left", tmp_path / "right.png")
    with pytest.raises(FileNotFoundError, match="no file or folder at"):
        match_pairs(tmp_path / "left", tmp_path / "nowhere")
    write(tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match="no images in"):
        match_pairs(tmp_path / "empty", tmp_path / "left")
