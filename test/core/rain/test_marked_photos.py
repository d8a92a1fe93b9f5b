"""Tests of photographs with marks that look like rain."""

import numpy as np
import pytest
import torch

from apanet_core.rain.marked_photos import EVERY_FENCED, EVERY_GRAINED, EVERY_STROKED, with_marks
from apanet_core.rain.photo_atlas import PhotoAtlas
from apanet_core.rain.samples import render_samples


@pytest.fixture(scope="module")
def plain():
    return [np.full((90, 120, 3), (40 + 10 * number, 90, 60), np.uint8) for number in range(12)]


def test_with_marks_appends_marked_copies(plain):
    marked = with_marks(plain, seed=3)
    assert len(marked) == 12 + 12 // EVERY_STROKED + -(-10 // EVERY_GRAINED) + 12 // EVERY_FENCED
    for photo, kept in zip(plain, marked):
        assert kept is photo
    for copy in marked[12:]:
        assert copy.shape == (90, 120, 3)
        assert copy.std() > 1  # the marks


def test_with_marks_depends_on_seed(plain):
    first, same, other = (with_marks(plain, seed)[12:] for seed in (3, 3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(first, same))
    assert not any(np.array_equal(a, b) for a, b in zip(first, other))


def test_with_marks_grain_preserves_mean_colour(plain):
    grain = with_marks(plain, seed=3)[-2]
    assert np.abs(grain.mean((0, 1)) - plain[10].mean((0, 1))).max() < 12


def test_with_marks_bars_stand_at_equal_distances(plain):
    fence = with_marks(plain, seed=3)[-1]
    bars = np.flatnonzero(np.diff((fence[0] != plain[3][0]).any(-1).astype(int)) == 1)
    assert len(bars) >= 2
    assert np.ptp(np.diff(bars)) <= 1


def test_marked_photos_show_marks_in_clean_left_view(plain):
    atlas = PhotoAtlas(with_marks(plain, seed=3)[12:])
    samples = render_samples(atlas, (64, 128), 1, torch.arange(6))
    assert (samples["clean_left"].float().std(dim=(2, 3)).amax(1) > 1).all()
