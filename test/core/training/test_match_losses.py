import numpy as np
import pytest
import torch

from apanet_core.model.config import ModelConfig
from apanet_core.model.network import APANet
from apanet_core.model.parallax_matching import Match
from apanet_core.rain.photo_atlas import PhotoAtlas
from apanet_core.rain.samples import render_samples
from apanet_core.training.match_losses import FARTHEST_PX, match_losses, photometric_losses
from apanet_core.training.objectives import Supervised


def a_match(columns, width=12, bins=9):
    """A match that is sure of `columns` everywhere, at any place where it can be."""
    logits = torch.full((2, 2, width, bins), -40.0)
    logits[..., columns] = 0.0
    return Match(logits, torch.full((2, 1, 8, 4 * width), 4.0 * columns), *torch.ones(2, 2, 1, 8, 4 * width))


def test_match_losses_are_low_at_true_and_high_at_wrong_match():
    truth = torch.full((2, 8, 48), 12.0)
    right, wrong = match_losses(a_match(3), truth), match_losses(a_match(6), truth)
    assert right["attention"] < 0.01
    assert right["disparity"] == 0
    assert wrong["attention"] > 20
    assert wrong["disparity"] == FARTHEST_PX


def test_attention_loss_target_between_bins_is_split():
    logits = torch.full((2, 2, 12, 9), -40.0)
    logits[..., 3], logits[..., 4] = np.log(0.25), np.log(0.75)
    match = Match(logits, torch.zeros(2, 1, 8, 48), *torch.ones(2, 2, 1, 8, 48))
    entropy = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))
    assert match_losses(match, torch.full((2, 8, 48), 15.0))["attention"].item() == pytest.approx(entropy, abs=1e-4)


def test_match_losses_zero_bin_shifts_target():
    truth = torch.full((2, 8, 48), 12.0)
    unmasked = a_match(7)._replace(disparity=torch.full((2, 1, 8, 48), 12.0), zero_bin=4)
    losses = match_losses(unmasked, truth)
    assert losses["attention"] < 0.01
    assert losses["disparity"] == 0
    assert match_losses(unmasked, torch.full((2, 8, 48), 16.0))["attention"] == 0  # beyond the last pair of bins


def test_match_losses_ignore_points_without_match():
    truth = torch.full((2, 8, 48), 12.0)
    truth[:, :, 24:] = torch.nan  # not seen by the other view
    truth[:, :, :12] = 100.0  # beyond the reach
    match = a_match(3)
    match.logits[:, :, 6:] = torch.randn(2, 2, 6, 9)
    losses = match_losses(match, truth)
    assert losses["attention"] < 0.01
    assert losses["disparity"] == 0
    nothing = match_losses(match, torch.full((2, 8, 48), torch.nan))
    assert nothing["attention"] == 0
    assert nothing["disparity"] == 0


def test_supervised_loss_has_finite_gradients_and_ignores_blocked_views():
    rng = np.random.default_rng(0)
    atlas = PhotoAtlas([rng.integers(0, 256, (100, 150, 3), dtype=np.uint8)])
    batch = render_samples(atlas, (32, 64), 0, torch.arange(4))
    network = APANet(
        ModelConfig(4, (8, 8), (1, 1), (1,), 4, (2,), (), max_disparity=32, matching_channels=8, fusion_channels=8)
    )
    torch.nn.init.normal_(network.project_out.weight, std=0.01)
    torch.nn.init.normal_(network.fusion.project_out.weight, std=0.01)
    objective = Supervised({"charbonnier": 1.0})
    loss, terms = objective(network, batch)
    loss.backward()
    assert set(terms) == {"charbonnier", "estimate", "attention", "disparity"}
    assert all(p.grad.isfinite().all() for p in network.parameters())
    assert network.matching.log_scale.grad != 0
    batch["left_judged"].zero_()
    batch["right_judged"].zero_()
    assert objective(network, batch)[1]["charbonnier"].item() == pytest.approx(1e-3, rel=1e-3)


def shifted_views(columns, width=12):
    """Left and right view, in which every point has a disparity of so many cells."""
    cells = torch.rand(1, 3, 2, width + columns, generator=torch.Generator().manual_seed(0))
    wide = cells.repeat_interleave(4, 2).repeat_interleave(4, 3)
    return torch.cat([wide[..., : 4 * width], wide[..., 4 * columns :]])


def test_photometric_loss_is_minimal_at_true_disparity():
    views = shifted_views(3)
    losses = {columns: photometric_losses(a_match(columns), views)["photometric"].item() for columns in (0, 2, 3, 4)}
    assert min(losses, key=losses.get) == 3
    # three of twelve columns have their match outside the other view, which reads as black
    inside = a_match(3)
    assert losses[3] < 0.5 * losses[2]
    assert photometric_losses(inside, views)["cycle"] == 0


def test_cycle_loss_equals_disparity_difference_of_views():
    match = a_match(3)
    match.disparity[1] += 2.0
    assert photometric_losses(match, shifted_views(3))["cycle"] == pytest.approx(2.0)
    match.disparity[1] += 100.0
    assert photometric_losses(match, shifted_views(3))["cycle"] == FARTHEST_PX


def test_photometric_loss_trains_uniform_attention_to_true_match():
    views = shifted_views(3, width=24)
    logits = torch.zeros(2, 2, 24, 9, requires_grad=True)
    disparity = torch.zeros(2, 1, 8, 96)
    optimizer = torch.optim.Adam([logits], lr=0.2)
    for _ in range(100):
        optimizer.zero_grad()
        photometric_losses(Match(logits, disparity, disparity, disparity), views)["photometric"].backward()
        optimizer.step()
    found = logits.argmax(dim=-1)
    assert (found[0, :, 8:] == 3).float().mean() > 0.9
    assert (found[1, :, :16] == 3).float().mean() > 0.9


def test_supervised_loss_without_disparity_uses_photometric_terms():
    torch.manual_seed(0)
    model = ModelConfig(4, (8, 16), (1, 1), (1,), 4, (2,), (), max_disparity=32, matching_channels=8, fusion_channels=8)
    network = APANet(model)
    views = {
        f"{kind}_{side}": torch.randint(0, 256, (2, 3, 24, 44), dtype=torch.uint8)
        for kind in ("rainy", "clean")
        for side in ("left", "right")
    }
    loss, terms = Supervised({"charbonnier": 1.0})(network, views)
    assert {"photometric", "cycle"} <= set(terms)
    assert not {"attention", "disparity"} & set(terms)
    loss.backward()
    assert network.matching.compare.weight.grad.abs().sum() > 0
