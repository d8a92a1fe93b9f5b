import numpy as np
import pytest

from apanet_core.evaluation.inputs import check_samples, find_samples
from apanet_core.images.files import read_image, write_image


def test_find_samples_groups_files_by_name(data_set):
    samples = find_samples(data_set / "data", {"copy": data_set / "copy"}, data_set / "truth")
    assert [s.name for s in samples] == sorted(s.name for s in samples)
    for sample in samples:
        files = [*sample.rainy, *sample.clean, *sample.outputs["copy"], sample.disparity]
        assert {path.stem for path in files} == {sample.name}
        assert [path.parent.name for path in files] == ["left", "right"] * 3 + ["truth"]
        assert sample.is_stereo
    check_samples(samples, 64)
    assert len(find_samples(data_set / "data", {}, limit=2)) == 2


def test_find_samples_accepts_right_name_and_shorter_disparity_name(data_set):
    for side, number in (("left", 2), ("right", 3)):
        for kind in ("rain", "norain"):
            folder = data_set / "data" / kind / side
            for path in list(folder.iterdir()):
                path.rename(folder / f"{path.stem}_10_{kind}_{number}.png")
        for path in list((data_set / "copy" / side).iterdir()):
            path.rename(path.with_name(f"{path.stem}_10_rain_{number}.png"))
    for path in list((data_set / "truth").iterdir()):
        path.rename(path.with_name(f"{path.stem}_10.npy"))
    np.save(data_set / "truth/a.npy", np.zeros((1, 1)))  # fits as well, but a_10 is the longer name
    first = find_samples(data_set / "data", {"copy": data_set / "copy"}, data_set / "truth")[0]
    assert [path.name for path in first.outputs["copy"]] == ["a_10_rain_2.png", "a_10_rain_3.png"]
    assert first.disparity.name == "a_10.npy"


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda root: (root / "copy/right/c d.png").unlink(), "outputs of copy: no .*copy/right/c d.png"),
        (lambda root: (root / "copy").rename(root / "away"), "outputs of copy: no folder at"),
        (lambda root: (root / "truth/a.npy").unlink(), "no true disparity for a in"),
        (lambda root: (root / "data/rain").rename(root / "data/wet"), "has no layout known here"),
        (lambda root: (root / "copy/left/a.png").write_bytes(b"no image"), "not a readable image"),
        (lambda root: write_image(root / "copy/left/a.bmp", np.zeros((48, 112, 3), np.uint8)), "two files named 'a'"),
        (
            lambda root: write_image(root / "copy/left/a.png", np.zeros((48, 100, 3), np.uint8)),
            "copy/left/a.png is 100x48, the rainy image 112x48",
        ),
        (lambda root: np.save(root / "truth/a.npy", np.zeros((48, 111))), "a.npy is 111x48, the rainy image 112x48"),
        (lambda root: np.save(root / "truth/a.npy", np.full((48, 112), 65.5)), "reaches 66 px, beyond the search"),
        (
            lambda root: write_image(root / "data/rain/right/a.png", np.zeros((48, 100, 3), np.uint8)),
            "a.png: left and right must have one size",
        ),
    ],
)
def test_check_samples_unusable_files_are_refused(data_set, break_it, message):
    break_it(data_set)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        check_samples(find_samples(data_set / "data", {"copy": data_set / "copy"}, data_set / "truth"), 64)


def test_check_samples_images_below_minimum_size_are_refused(data_set):
    samples = find_samples(data_set / "data", {})
    check_samples(samples, 64, min(read_image(samples[0].rainy[0]).shape[:2]))
    with pytest.raises(ValueError, match="needs 49 px each way"):
        check_samples(samples, 64, 49)
