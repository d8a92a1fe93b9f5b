"""docs/decisions/013: coring removes the changes of a dry view and keeps those of rain."""

import numpy as np
import pytest
import torch

from apanet_core.model.uint8 import apply_coring

GREY = torch.full((1, 3, 40, 40), 100 / 255)


def kept(change, coring=4.0):
    """Return the change of a view, in grey levels, after coring."""
    return 255 * (apply_coring(GREY, GREY + change / 255, coring / 255) - GREY)


def pattern(darker, brighter, share):
    """Return a change, in grey levels, that makes a `share` of the pixels darker and as many brighter."""
    order = torch.from_numpy(np.random.default_rng(0).permutation(GREY.numel()))
    change = torch.zeros(GREY.numel())
    count = int(share * GREY.numel())
    change[order[:count]], change[order[count : 2 * count]] = -darker, brighter
    return change.reshape(GREY.shape)


def test_coring_removes_changes_with_both_signs():
    assert kept(pattern(12, 12, 0.1)).abs().max() < 0.1


@pytest.mark.parametrize("sign", [1, -1])  # drops in front of a bright sky are darker
def test_coring_preserves_changes_with_one_sign(sign):
    rain = sign * pattern(40, 0, 0.2)
    torch.testing.assert_close(kept(rain), rain, atol=0.2, rtol=0)


def test_coring_dry_view_is_independent_of_rainy_view():
    light, rain = pattern(8, 0, 0.03), pattern(60, 0, 0.3)
    together = apply_coring(torch.cat([GREY, GREY]), torch.cat([GREY + light / 255, GREY + rain / 255]), 4 / 255)
    change = 255 * (together - GREY)
    assert change[0].abs().max() < 1
    torch.testing.assert_close(change[1:], kept(rain))


def test_coring_in_rain_halves_change_of_half_coring_level():
    rain = torch.full(GREY.shape, -60.0)
    rain[..., 0] = -2.0
    assert kept(rain)[..., 0].mean().item() == pytest.approx(-1, abs=0.01)


def test_coring_preserves_zero_change_and_returns_finite_values():
    nothing = torch.zeros(GREY.shape)
    assert (kept(nothing) == 0).all()
    overflow = nothing.clone()
    overflow[..., 0] = torch.inf
    assert kept(overflow).isfinite().all()
