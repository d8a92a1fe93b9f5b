import dataclasses

import pytest
import torch

from apanet_core.model.attention_disparity import AttentionDisparity
from apanet_core.model.config import ModelConfig
from apanet_core.model.network import APANet
from apanet_core.model.parallax_matching import Match, ParallaxMatching, agreement, peak, row_logits
from apanet_core.model.partner_fusion import PartnerFusion
from apanet_core.model.warping import warp_rows

MATCHED = ModelConfig(
    stem_stride=2,
    channels=(8, 8, 16),
    encoder_blocks=(1, 1, 1),
    decoder_blocks=(1, 1),
    memory_units=4,
    external_attention_levels=(3,),
    parallax_levels=(),
    max_disparity=32,
    matching_channels=8,
    fusion_channels=8,
    fusion_blocks=1,
)


@pytest.mark.parametrize("mask", [True, False])
@pytest.mark.parametrize(("width", "reach"), [(23, 7), (7, 7), (6, 20), (32, 8)])
def test_row_logits_match_dot_products_at_every_disparity(width, reach, mask):
    query, key = torch.randn(2, 3, width, 5), torch.randn(2, 3, width, 5)
    got = row_logits(query, key, reach, mask)
    least = 0 if mask else -reach
    assert got.shape == (2, 3, width, reach - least + 1)
    for column in range(width):
        for number in range(got.shape[-1]):
            seen_at = column + least + number
            if 0 <= seen_at < width:
                expected = (query[:, :, column] * key[:, :, seen_at]).sum(-1)
                torch.testing.assert_close(got[:, :, column, number], expected, atol=1e-5, rtol=1e-5)
            else:
                assert torch.all(got[:, :, column, number] == -torch.inf)


def test_peak_returns_position_between_bins_and_confidence():
    logits = torch.full((3, 2, 2, 40), -20.0)
    logits[0, ..., 30] = 20.0  # one bin
    logits[1, ..., 30:32] = 20.0  # two neighbours
    logits[2, ..., 5] = logits[2, ..., 35] = 20.0  # two far apart: half the attention at either
    largest, offset, confidence = (values[:, 0, 0] for values in peak(logits))
    torch.testing.assert_close((largest + offset)[:2], torch.tensor([30.0, 30.5]), atol=1e-3, rtol=0)
    torch.testing.assert_close(confidence, torch.tensor([1.0, 1.0, 0.5]), atol=1e-3, rtol=0)


def test_cells_around_decide_for_a_cell_that_looks_elsewhere():
    logits = torch.full((1, 3, 5, 40), -20.0)
    logits[..., 30] = 20.0
    logits[0, 1, 2, 30], logits[0, 1, 2, 7] = 0.0, 2.0  # rain, and a weak match in the wrong place
    largest, offset, confidence = peak(logits)
    assert torch.all(largest == 30)
    assert offset.abs().max() < 1e-3
    assert 0.1 < confidence[0, 1, 2] < 0.2  # its own attention there
    logits[0, 1, 2] = torch.where(torch.arange(40) == 7, 200.0, -20.0)  # nothing at all near the neighbours' match
    largest, offset, confidence = peak(logits)
    assert largest[0, 1, 2] == 30
    assert offset[0, 1, 2] == confidence[0, 1, 2] == 0


@pytest.mark.parametrize("dtype", [None, torch.bfloat16, torch.float16])
def test_matching_finds_disparity_of_120_px_in_both_views_under_autocast(dtype):
    cells, shift = torch.randn(1, 16, 4, 80), 30  # columns of 4 px
    left, right = cells[..., :48], cells[..., shift : shift + 48]  # x_right = x_left - shift
    matching = ParallaxMatching(16, 16, 160)
    matching.embed = torch.nn.Sequential(torch.nn.Conv2d(16 + 48, 16, 1, bias=False))
    matching.embed[0].weight.data = torch.eye(16, 64)[..., None, None]  # the features as they are
    matching.compare = torch.nn.Identity()
    with torch.autocast("cpu", dtype or torch.bfloat16, enabled=dtype is not None):
        match = matching(torch.cat([left, right]), torch.zeros(2, 3, 16, 192))
    assert match.logits.dtype == match.disparity.dtype == torch.float32
    disparity = match.disparity
    seen_by_both = 4 * shift + 4
    torch.testing.assert_close(disparity[0, 0, 4:-4, seen_by_both:-4], torch.full((8, 64), 120.0), atol=2, rtol=0)
    torch.testing.assert_close(disparity[1, 0, 4:-4, 4:-seen_by_both], torch.full((8, 64), 120.0), atol=2, rtol=0)
    assert match.agreement[0, 0, :, shift + 1 : -1].min() > 0.99
    assert match.agreement[1, 0, :, 1 : -shift - 1].min() > 0.99


def test_agreement_is_full_where_matches_lead_back_and_none_around_those_that_do_not():
    columns, offset = torch.full((2, 5, 40), 7.0), torch.full((2, 5, 40), 0.25)
    assert (agreement(columns, offset)[0, 0, :, 8:] == 1).all()
    assert (agreement(columns, offset)[1, 0, :, :-8] == 1).all()
    columns[0, 2, 20] = 3  # its match has another disparity; nothing else in the left view changes
    left, right = agreement(columns, offset)
    torch.testing.assert_close(left[0, 1:4, 19:22], torch.full((3, 3), 8 / 9))
    assert right[0, 2, 12] < 1  # looked at the cell whose disparity is wrong
    assert left[0, :, 23:].min() == 1
    far = columns.clone()
    far[1] = 9.0
    assert agreement(far, offset).max() == 0


def test_fusion_takes_nothing_from_partner_where_matches_do_not_lead_back():
    fusion = PartnerFusion(8, 8, 1)
    torch.nn.init.normal_(fusion.project_out.weight)
    torch.nn.init.zeros_(fusion.project_in.weight)  # the weights do not depend on the images
    estimate, rainy, features = torch.rand(2, 3, 16, 24), torch.rand(2, 3, 16, 24), torch.rand(2, 8, 4, 6)
    agrees = torch.ones(2, 1, 4, 6)
    agrees[..., :3] = 0
    match = Match(torch.zeros(2, 4, 6, 9), torch.full((2, 1, 16, 24), 4.0), torch.ones(2, 1, 4, 6), agrees)
    before = fusion(rainy, estimate, features, match)[0]
    rainy[1], estimate[1] = torch.rand(3, 16, 24), torch.rand(3, 16, 24)
    after = fusion(rainy, estimate, features, match)[0]
    torch.testing.assert_close(after[..., :12], before[..., :12])
    assert (after - before)[..., 16:].abs().max() > 0.01


def test_warp_rows_by_true_disparity_aligns_views():
    wide = torch.rand(1, 3, 4, 60)
    left, right = wide[..., :50], wide[..., 7:57]
    moved_left, moved_right = warp_rows(torch.cat([left, right]), torch.full((2, 1, 4, 50), 7.0)).chunk(2)
    torch.testing.assert_close(moved_left[..., 7:], left[..., 7:], atol=1e-4, rtol=0)
    torch.testing.assert_close(moved_right[..., :-7], right[..., :-7], atol=1e-4, rtol=0)
    torch.testing.assert_close(moved_left[..., :7], right[..., :1].expand(-1, -1, -1, 7), atol=1e-4, rtol=0)


def test_fusion_starts_near_estimate_and_without_warp_ignores_partner():
    estimate, rainy = torch.rand(2, 3, 16, 24), torch.rand(2, 3, 16, 24)
    match = Match(torch.zeros(2, 4, 6, 9), torch.full((2, 1, 16, 24), 4.0), *torch.ones(2, 2, 1, 4, 6))
    fused = PartnerFusion(8, 8, 1)(rainy, estimate, torch.rand(2, 8, 4, 6), match)
    assert (fused - estimate).abs().max() < 0.08  # four other candidates with a weight of exp(-4) each
    alone = PartnerFusion(8, 8, 1, warp=False)
    torch.nn.init.normal_(alone.project_out.weight)
    before = alone(rainy, estimate, torch.zeros(2, 8, 4, 6), match)
    rainy[1], estimate[1] = torch.rand(3, 16, 24), torch.rand(3, 16, 24)
    torch.testing.assert_close(alone(rainy, estimate, torch.zeros(2, 8, 4, 6), match)[0], before[0])


@pytest.mark.parametrize("size", [(16, 24), (37, 51), (20, 200)])
@pytest.mark.parametrize(
    "changes", [{}, {"parallax_mask": False, "max_disparity": None}, {"max_disparity": None}, {"warp": False}]
)
def test_matching_network_any_size_has_finite_gradients(size, changes):
    network = APANet(dataclasses.replace(MATCHED, **changes))
    torch.nn.init.normal_(network.fusion.project_out.weight, std=0.1)
    torch.nn.init.normal_(network.project_out.weight, std=0.1)
    left, right = torch.rand(2, 1, 3, *size).unbind(0)
    derained = network(left, right)
    assert [view.shape for view in derained] == [left.shape, right.shape]
    sum(view.square().mean() for view in derained).backward()
    still = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert still == ([] if network.config.warp else [n for n in still if n.startswith("matching.")])


def test_attention_disparity_of_matching_network_is_in_range():
    network = APANet(MATCHED).eval()
    reader = AttentionDisparity(network)
    left, right = torch.rand(2, 1, 3, 21, 70).unbind(0)
    with torch.no_grad():
        network(left, right)
    disparity, confidence = reader.read(21, 70)
    reader.close()
    assert disparity.shape == confidence.shape == (21, 70)
    assert disparity.min() >= 0
    assert disparity.max() <= 40
    assert confidence.min() >= 0
    assert confidence.max() <= 1.001


def test_matching_network_bfloat16_match_agrees_with_float32():
    torch.manual_seed(0)
    network = APANet(MATCHED).eval()
    left, right = torch.rand(2, 1, 3, 32, 96).unbind(0)
    with torch.no_grad():
        exact = network.derain(torch.cat([left, right])).match
        rounded = network.to(torch.bfloat16).derain(torch.cat([left, right])).match
    assert rounded.disparity.dtype == rounded.logits.dtype == torch.float32
    same = (exact.logits.argmax(-1) == rounded.logits.argmax(-1)).float().mean()
    assert same > 0.9


def test_model_config_matching_without_quarter_level_is_refused():
    with pytest.raises(ValueError, match="1/4 of the resolution: got stem_stride 8"):
        dataclasses.replace(MATCHED, stem_stride=8)
