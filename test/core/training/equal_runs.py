"""Comparison of two training runs."""

import pytest
import torch


def assert_equal_runs(one, other, atol=0.0):
    """Weights and averages are equal, to `atol`."""
    whole, resumed = (torch.load(run / "last.ckpt", weights_only=True) for run in (one, other))
    assert whole["step"] == resumed["step"]
    assert whole["best"] == pytest.approx(resumed["best"], abs=1e-3 if atol else 0)
    for part in ("model", "averaged"):
        for name, value in whole[part].items():
            torch.testing.assert_close(value, resumed[part][name], atol=atol, rtol=0, msg=name)
