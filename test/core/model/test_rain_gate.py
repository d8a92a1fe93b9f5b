from dataclasses import replace

import pytest
import torch

from apanet_core.model.config import PRESETS, ModelConfig
from apanet_core.model.network import APANet
from apanet_core.model.rain_gate import RainGate

GATED = ModelConfig(
    stem_stride=4,
    channels=(8, 16),
    encoder_blocks=(1, 1),
    decoder_blocks=(1,),
    memory_units=4,
    external_attention_levels=(2,),
    parallax_levels=(),
    max_disparity=32,
    matching_channels=8,
    fusion_channels=8,
    fusion_blocks=1,
    gate_channels=4,
)


def trained(std=0.4):
    """Return a gate whose layers are not those of a new one."""
    torch.manual_seed(6)
    gate = RainGate(8, 6, 4)
    for parameter in gate.parameters():
        torch.nn.init.normal_(parameter, std=std)
    return gate


def agreement(value, views=2):
    return torch.full((views, 1, 5, 7), value)


def test_views_of_one_scene_share_factor_of_rainier_one():
    torch.manual_seed(5)
    features, fused = torch.randn(6, 8, 5, 7), 3 * torch.randn(6, 6, 5, 7)
    gate = trained(std=1)
    factors = gate(features, fused, agreement(0.6, views=6))
    assert factors.shape == (6, 1, 1, 1)
    torch.testing.assert_close(factors[:3], factors[3:])
    assert factors[:3].std() > 0.01
    judged = (gate.alone(features) + gate.compared(fused)) / 2
    torch.testing.assert_close(factors[:3, :, 0, 0], torch.maximum(judged[:3], judged[3:]).sigmoid())
    swap = [3, 4, 5, 0, 1, 2]
    torch.testing.assert_close(gate(features[swap], fused[swap], agreement(0.6, views=6)), factors)
    pair = [1, 4]  # the same, whatever else is in the batch
    torch.testing.assert_close(gate(features[pair], fused[pair], agreement(0.6))[0], factors[1])


def test_view_without_partner_is_judged_alone():
    torch.manual_seed(7)
    features, fused = torch.randn(2, 8, 5, 7), torch.randn(2, 6, 5, 7)
    gate = trained(std=1)
    alone, together = gate(features, fused, agreement(0.2)), gate(features, fused, agreement(0.6))
    torch.testing.assert_close(alone[..., 0, 0], gate.alone(features).sigmoid())
    assert (alone - together).abs().min() > 0.001
    between = gate(features, fused, agreement(0.4))
    assert torch.all((between - alone) * (together - between) > 0)
    other_partner = torch.cat([features[:1], torch.randn(1, 8, 5, 7)])
    torch.testing.assert_close(gate(other_partner, fused.flip(0), agreement(0.2))[0], alone[0])


def test_new_gate_is_open():
    assert torch.all(RainGate(8, 6, 4)(torch.randn(2, 8, 5, 7), torch.randn(2, 6, 5, 7), agreement(0.6)) > 0.98)


def test_closed_gate_returns_the_rainy_pair():
    torch.manual_seed(4)
    network = APANet(GATED).eval()
    torch.nn.init.normal_(network.project_out.weight, std=0.1)
    rainy = torch.rand(4, 3, 16, 32)
    with torch.no_grad():
        assert (network.derain(rainy).derained - rainy).abs().max() > 0.1
        for judge in (network.fusion.gate.alone, network.fusion.gate.compared):
            judge.decide.bias.fill_(-30)
        torch.testing.assert_close(network.derain(rainy).derained, rainy)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_gate_of_large_view_survives_half_precision(dtype):
    """A running sum of 60,000 cells in half precision would stop growing."""
    features, fused = torch.randn(2, 8, 200, 300) + 0.5, torch.randn(2, 6, 200, 300) + 0.5
    half = trained().to(dtype)(features.to(dtype), fused.to(dtype), agreement(0.6))
    torch.testing.assert_close(half, trained()(features, fused, agreement(0.6)), atol=0.02, rtol=0)


def test_gate_without_matching_is_refused():
    with pytest.raises(ValueError, match="gate_channels must be at least 0, and 0 without matching_channels"):
        replace(PRESETS["tiny-mono"], gate_channels=8)
