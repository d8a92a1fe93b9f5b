"""docs/decisions/013: coring removes the changes of a dry pair and keeps those of rain."""

import numpy as np
import pytest
import torch

from apanet_core.model.uint8 import apply_coring

GREY = torch.full((1, 3, 40, 40), 100 / 255)


def kept(*changes, coring=4.0):
    """Return the changes of the views, in grey levels, after coring."""
    derained = tuple(GREY + change / 255 for change in changes)
    return [255 * (after - GREY) for after in apply_coring((GREY, GREY), derained, coring / 255)]


def pattern(darker, brighter, share):
    """Return a change, in grey levels, that makes a `share` of the pixels darker and as many brighter."""
    order = torch.from_numpy(np.random.default_rng(0).permutation(GREY.numel()))
    change = torch.zeros(GREY.numel())
    count = int(share * GREY.numel())
    change[order[:count]], change[order[count : 2 * count]] = -darker, brighter
    return change.reshape(GREY.shape)


def test_coring_removes_changes_with_both_signs():
    for change in kept(pattern(12, 12, 0.1), pattern(12, 12, 0.1)):
        assert change.abs().max() < 0.1


@pytest.mark.parametrize("sign", [1, -1])  # drops in front of a bright sky are darker
def test_coring_keeps_changes_with_one_sign(sign):
    rain = sign * pattern(40, 0, 0.2)
    for change in kept(rain, rain):
        torch.testing.assert_close(change, rain, atol=0.2, rtol=0)


def test_coring_depends_on_both_views():
    light = pattern(8, 0, 0.03)
    alone, beside_rain = (kept(light, other)[0] for other in (light, pattern(60, 0, 0.3)))
    assert alone.abs().max() < 1 < 7 < beside_rain.abs().max()


def test_half_of_a_change_of_half_the_coring_is_kept_in_rain():
    rain = torch.full(GREY.shape, -60.0)
    rain[..., 0] = -2.0
    assert kept(rain, rain)[0][..., 0].mean().item() == pytest.approx(-1, abs=0.01)


def test_coring_keeps_zero_change_and_returns_finite_values():
    nothing = torch.zeros(GREY.shape)
    assert all((change == 0).all() for change in kept(nothing, nothing))
    overflow = nothing.clone()
    overflow[..., 0] = torch.inf
    assert all(change.isfinite().all() for change in kept(overflow, -overflow))
