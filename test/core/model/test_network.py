import dataclasses

import pytest
import torch
from networks import fill_zeros

from apanet_core.model import layers
from apanet_core.model.config import PRESETS, ModelConfig, preset
from apanet_core.model.network import APANet

SMALL = ModelConfig(
    stem_stride=2,
    channels=(8, 8, 8),
    encoder_blocks=(1, 1, 1),
    decoder_blocks=(1, 1),
    external_attention_levels=(1, 2, 3),
    parallax_levels=(2, 3),
    memory_units=4,
)


def randomised(config: ModelConfig) -> APANet:
    torch.manual_seed(0)
    model = APANet(config).eval()
    fill_zeros(model, std=0.1)
    return model


def test_paper_preset_has_published_parameter_count():
    assert sum(p.numel() for p in APANet(PRESETS["paper"]).parameters()) == 8_013_443


@pytest.mark.parametrize("name", [name for name, config in PRESETS.items() if not config.matching_channels])
def test_untrained_network_returns_input(name):
    left, right = torch.rand(1, 3, 16, 24), torch.rand(1, 3, 16, 24)
    got = APANet(PRESETS[name])(left, right)
    assert torch.equal(got[0], left)
    assert torch.equal(got[1], right)


@pytest.mark.parametrize("size", [(16, 16), (17, 33), (40, 25), (1, 1)])
def test_network_any_size_is_preserved(size):
    left, right = torch.rand(2, 3, *size), torch.rand(2, 3, *size)
    got_left, got_right = randomised(SMALL)(left, right)
    assert got_left.shape == got_right.shape == left.shape
    assert torch.isfinite(got_left).all()


def test_network_batch_matches_single_pair():
    model = randomised(SMALL)
    left, right = torch.rand(3, 3, 32, 32), torch.rand(3, 3, 32, 32)
    together = model(left, right)[1]
    torch.testing.assert_close(together[1:2], model(left[1:2], right[1:2])[1], atol=1e-5, rtol=1e-4)


def test_network_change_reaches_only_columns_with_possible_match():
    model = randomised(ModelConfig(**{**SMALL.to_dict(), "external_attention_levels": ()}))  # EAM reads whole images
    left, right = torch.rand(1, 3, 16, 384), torch.rand(1, 3, 16, 384)
    changed = right.clone()
    changed[..., 320:] = 0  # matches of left columns below 320 lie to the left of this
    before, after = model(left, right)[0], model(left, changed)[0]
    torch.testing.assert_close(before[..., :192], after[..., :192], atol=1e-6, rtol=0)  # 128 px of convolutions between
    assert (before[..., 320:] - after[..., 320:]).abs().max() > 1e-4


def test_network_gradients_reach_every_parameter():
    model = randomised(SMALL)
    left, right = model(torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32))
    (left.square().mean() + right.square().mean()).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_network_unequal_shapes_are_refused():
    with pytest.raises(ValueError, match=r"must both be \(B, 3, H, W\).*\(1, 3, 8, 9\)"):
        randomised(SMALL)(torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 9))


def test_model_config_invalid_values_are_refused():
    with pytest.raises(ValueError, match="did you mean 'channels'"):
        ModelConfig.from_dict({"chanels": [8]})
    with pytest.raises(ValueError, match="2 decoder_blocks"):
        ModelConfig(channels=(8, 8, 8), encoder_blocks=(1, 1, 1), decoder_blocks=(1,))
    with pytest.raises(ValueError, match="parallax_levels must lie in 1..4"):
        ModelConfig(parallax_levels=(5,))
    with pytest.raises(ValueError, match="unknown preset 'huge': choose one of base, paper, small, small-mono"):
        preset("huge")


def test_model_config_json_round_trip_is_equal():
    import json

    assert ModelConfig.from_dict(json.loads(json.dumps(SMALL.to_dict()))) == SMALL


@pytest.mark.parametrize("eps", [1e-9, 1e9])
def test_network_in_strips_matches_whole(eps, monkeypatch):
    network = randomised(dataclasses.replace(SMALL, external_attention_eps=eps))
    left, right = torch.rand(2, 3, 40, 56), torch.rand(2, 3, 40, 56)
    whole = network(left, right)  # gradients are on: one strip
    monkeypatch.setattr(layers, "CPU_STRIP", 2000)
    with torch.no_grad():
        strips = network(left, right)
    for a, b in zip(whole, strips):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_receptive_field_matches_gradient_extent(name):
    narrow = (8,) * len(PRESETS[name].channels)  # changes no receptive field
    config = dataclasses.replace(PRESETS[name], channels=narrow, external_attention_levels=(), parallax_levels=())
    network = APANet(config).double()
    for parameter in network.parameters():
        parameter.data = parameter.data.abs() + 0.05  # no term may cancel
    stride = config.stride
    height = -(-2 * config.receptive_field // stride) * stride
    view = torch.rand(1, 3, height, stride, dtype=torch.float64, requires_grad=True)
    derained, _ = network(view, view.detach())
    seen = []
    for row in range(height // 2, height // 2 + stride, config.stem_stride):
        (gradient,) = torch.autograd.grad(derained[0, :, row].sum(), view, retain_graph=True)
        rows = gradient.abs().sum((0, 1, 3)).nonzero()
        seen.append(int(rows.max() - rows.min()) + 1)
    if config.matching_channels:  # what attention passes on can be too little to see
        assert 0.8 * config.receptive_field <= max(seen) <= config.receptive_field
    else:
        assert max(seen) == config.receptive_field


@pytest.mark.parametrize(
    "switch",
    [{"external_attention_levels": ()}, {"parallax_levels": ()}, {"parallax_mask": False}, {"max_disparity": 8}],
)
def test_ablated_network_differs_from_full_network(switch):
    left, right = torch.rand(1, 3, 24, 40), torch.rand(1, 3, 24, 40)
    whole, ablated = randomised(SMALL)(left, right)[0], randomised(dataclasses.replace(SMALL, **switch))(left, right)[0]
    assert torch.isfinite(ablated).all()
    assert not torch.allclose(whole, ablated, atol=1e-4)


def test_model_config_max_disparity_without_mask_is_refused():
    with pytest.raises(ValueError, match="max_disparity needs the parallax mask"):
        dataclasses.replace(SMALL, max_disparity=8, parallax_mask=False)
