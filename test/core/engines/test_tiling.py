import itertools

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apanet_core import StereoDerainer
from apanet_core.engines.tiling import derain_tiled, tile_starts


@given(tile=st.integers(2, 50), extra=st.integers(1, 200), share=st.floats(0, 0.5))
def test_tile_starts_cover_every_row_with_overlap(tile, extra, share):
    overlap, height = int(share * tile), tile + extra
    tops = tile_starts(height, tile, overlap)
    assert tops[0] == 0
    assert tops[-1] + tile == height
    assert all(b <= a + tile - overlap for a, b in itertools.pairwise(tops))


def views(height, seed=0):
    rng = np.random.default_rng(seed)
    return tuple(rng.integers(0, 256, (height, 20, 3), dtype=np.uint8) for _ in range(2))


@pytest.mark.parametrize(("tile", "overlap"), [(16, 0), (16, 8), (17, 5), (40, 20)])
def test_derain_tiled_identity_returns_input(tile, overlap):
    pair = views(41)
    for before, after in zip(pair, derain_tiled(lambda left, right: (left, right), pair, tile, overlap)):
        assert np.array_equal(before, after)


def test_derain_tiled_blends_tiles_smoothly():
    calls = itertools.count()

    def number(left, right):  # the first band comes out black, the second one grey
        value = 100 * next(calls)
        return np.full_like(left, value), np.full_like(right, value)

    left, _ = derain_tiled(number, views(48), 32, 16)
    rows = left[:, 0, 0].astype(int)
    assert rows[0] == 0
    assert rows[-1] == 100
    assert (np.diff(rows) >= 0).all()
    assert np.diff(rows).max() < 15


def test_derainer_tiled_result_is_near_whole_result(rainy, clean):
    whole = StereoDerainer("tiny", engine="torch")(*rainy)
    tiled = StereoDerainer("tiny", engine="torch", tile=128)(*rainy)
    for view in range(2):
        assert tiled[view].shape == whole[view].shape
        assert cv2.PSNR(tiled[view], whole[view]) > 37
        assert cv2.PSNR(tiled[view], clean[view]) > cv2.PSNR(rainy[view], clean[view]) + 2


@pytest.mark.parametrize("options", [{"tile": 8}, {"tile": 64, "tile_overlap": 33}, {"tile": 15}])
def test_derainer_bad_tile_sizes_are_refused(options):
    with pytest.raises(ValueError, match="tile must be at least 16 rows and tile_overlap at most half"):
        StereoDerainer("tiny", engine="torch", **options)


def test_derainer_negative_tile_overlap_is_refused():
    with pytest.raises(ValueError, match="must not be negative: got 0 and -1"):
        StereoDerainer("tiny", engine="torch", tile=0, tile_overlap=-1)
