"""docs/decisions/013: changes that a dry pair would get are left out, those of rain are kept."""

import numpy as np
import pytest
import torch

from apanet_core.model.uint8 import apply_coring

GREY = torch.full((1, 3, 40, 40), 100 / 255)


def kept(*changes, coring=4.0):
    """What is left, in grey levels, of a change in either view."""
    derained = tuple(GREY + change / 255 for change in changes)
    return [255 * (after - GREY) for after in apply_coring((GREY, GREY), derained, coring / 255)]


def pattern(darker, brighter, share):
    """`share` of the pixels darker, the same number brighter, in grey levels."""
    order = torch.from_numpy(np.random.default_rng(0).permutation(GREY.numel()))
    change = torch.zeros(GREY.numel())
    count = int(share * GREY.numel())
    change[order[:count]], change[order[count : 2 * count]] = -darker, brighter
    return change.reshape(GREY.shape)


def test_texture_that_is_changed_both_ways_is_left_alone():
    for change in kept(pattern(12, 12, 0.1), pattern(12, 12, 0.1)):
        assert change.abs().max() < 0.1


@pytest.mark.parametrize("sign", [1, -1])  # drops before a bright sky are darker than it
def test_what_goes_one_way_is_kept(sign):
    rain = sign * pattern(40, 0, 0.2)
    for change in kept(rain, rain):
        torch.testing.assert_close(change, rain, atol=0.2, rtol=0)


def test_the_views_are_judged_together():
    light = pattern(8, 0, 0.03)
    alone, beside_rain = (kept(light, other)[0] for other in (light, pattern(60, 0, 0.3)))
    assert alone.abs().max() < 1 < 7 < beside_rain.abs().max()


def test_half_of_a_change_of_half_the_coring_is_kept_in_rain():
    rain = torch.full(GREY.shape, -60.0)
    rain[..., 0] = -2.0
    assert kept(rain, rain)[0][..., 0].mean().item() == pytest.approx(-1, abs=0.01)


def test_nothing_changed_and_overflows_stay_numbers():
    nothing = torch.zeros(GREY.shape)
    assert all((change == 0).all() for change in kept(nothing, nothing))
    overflow = nothing.clone()
    overflow[..., 0] = torch.inf
    assert all(change.isfinite().all() for change in kept(overflow, -overflow))
