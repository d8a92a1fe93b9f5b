import cv2
import numpy as np
import pytest

from apanet_core.stereo.disparity import read_disparity
from apanet_core.stereo.sgbm import sgbm_disparity

DISPARITY = np.array([[0.5, 12.25, np.nan], [np.nan, 100.0, 3.0]], np.float32)


def test_read_disparity_every_format_gives_equal_map(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.nan_to_num(DISPARITY * 256).astype(np.uint16))
    np.save(tmp_path / "a.npy", np.where(np.isnan(DISPARITY), -1, DISPARITY).astype(np.float64))
    rows = np.where(np.isnan(DISPARITY), np.inf, DISPARITY)[::-1].astype("<f4")  # a PFM begins at the bottom
    (tmp_path / "a.pfm").write_bytes(b"Pf\n3 2\n-1.0\n" + rows.tobytes())
    (tmp_path / "big.pfm").write_bytes(b"Pf\n3 2\n0.003922\n" + rows.astype(">f4").tobytes())
    np.testing.assert_allclose(read_disparity(tmp_path / "big.pfm"), DISPARITY, rtol=1e-6)
    for suffix in ("png", "npy", "pfm"):
        read = read_disparity(tmp_path / f"a.{suffix}")
        assert read.dtype == np.float32
        np.testing.assert_array_equal(read, DISPARITY, err_msg=suffix)


def test_read_disparity_npy_zero_is_known_disparity(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2, 2)))
    assert (read_disparity(tmp_path / "a.npy") == 0).all()


def test_read_disparity_other_files_are_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "eight.png"), np.zeros((2, 2), np.uint8))
    cv2.imwrite(str(tmp_path / "colour.png"), np.zeros((2, 2, 3), np.uint16))
    np.save(tmp_path / "pickle.npy", np.array([{}], dtype=object), allow_pickle=True)
    (tmp_path / "text.pfm").write_text("no image")
    (tmp_path / "a.tif").write_bytes(b"")
    (tmp_path / "empty.npy").touch()
    np.save(tmp_path / "complex.npy", np.zeros((2, 2), np.complex64))
    np.save(tmp_path / "words.npy", np.array([["a"]]))
    np.savez(tmp_path / "archive.npz", np.zeros((2, 2)))
    (tmp_path / "archive.npz").rename(tmp_path / "archive.npy")
    for name, message in {
        "eight.png": "has 16 bits.*--disparity_scale",
        "colour.png": "one channel",
        "pickle.npy": "allow_pickle",
        "text.pfm": "no readable image",
        "empty.npy": "empty.npy is empty, cut off or no array",
        "complex.npy": "one array of real numbers: .*complex.npy holds values of type complex64",
        "words.npy": "holds values of type <U1",
        "archive.npy": "holds several arrays",
        "a.tif": "disparity maps are .png",
    }.items():
        with pytest.raises(ValueError, match=message):
            read_disparity(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="no disparity map"):
        read_disparity(tmp_path / "none.png")


def test_read_disparity_png_scale_is_applied(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.array([[0, 30], [60, 255]], np.uint8))
    found = read_disparity(tmp_path / "a.png", 3.0)
    np.testing.assert_allclose(found, [[np.nan, 10], [20, 85]])


def test_sgbm_search_is_cut_to_the_width():
    views = [np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8)] * 2
    assert np.array_equal(
        sgbm_disparity(*views, max_disparity=10**9), sgbm_disparity(*views, max_disparity=64), equal_nan=True
    )
