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


def trained(gate):
    """Return a gate whose layers are not those of a new one."""
    torch.manual_seed(6)
    for parameter in gate.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return gate


def test_both_views_share_factor_of_their_pair():
    torch.manual_seed(5)
    features = torch.randn(6, 8, 5, 7) * torch.tensor([0.3, 1, 3] * 2)[:, None, None, None]
    agreement = torch.rand(6, 1, 5, 7)
    factors = trained(RainGate(8, 4))(features, agreement)
    assert factors.shape == (6, 1, 1, 1)
    torch.testing.assert_close(factors[:3], factors[3:])
    assert factors[:3].std() > 0.01
    swap = [3, 4, 5, 0, 1, 2]
    swapped = trained(RainGate(8, 4))(features[swap], agreement[swap])
    torch.testing.assert_close(swapped, factors)
    alone = trained(RainGate(8, 4))(features[[1, 4]], agreement[[1, 4]])  # whatever else is in the batch
    torch.testing.assert_close(alone[0], factors[1])


def test_new_gate_is_open():
    assert torch.all(RainGate(8, 4)(torch.randn(2, 8, 5, 7), torch.rand(2, 1, 5, 7)) > 0.98)


def test_closed_gate_returns_the_rainy_pair():
    torch.manual_seed(4)
    network = APANet(GATED).eval()
    torch.nn.init.normal_(network.project_out.weight, std=0.1)
    rainy = torch.rand(4, 3, 16, 32)
    with torch.no_grad():
        assert (network.derain(rainy).derained - rainy).abs().max() > 0.1
        network.fusion.gate.decide.bias.fill_(-30)
        torch.testing.assert_close(network.derain(rainy).derained, rainy)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_gate_of_large_view_survives_half_precision(dtype):
    """A running sum of 60,000 cells in half precision would stop growing."""
    features, agreement = torch.randn(2, 8, 200, 300) + 0.5, torch.rand(2, 1, 200, 300)
    gate = trained(RainGate(8, 4))
    half = gate.to(dtype)(features.to(dtype), agreement)
    torch.testing.assert_close(half, gate.float()(features, agreement), atol=0.02, rtol=0)


def test_gate_without_matching_is_refused():
    with pytest.raises(ValueError, match="gate_channels must be at least 0, and 0 without matching_channels"):
        replace(PRESETS["tiny-mono"], gate_channels=8)


def test_covered_view_does_not_close_gate_of_rainy_one():
    gate = RainGate(1, 1)
    for parameter in gate.parameters():
        torch.nn.init.ones_(parameter)
    gate.decide.bias.data.fill_(-6)
    rainy, covered = torch.full((1, 1, 2, 2), 20.0), torch.full((1, 1, 2, 2), -20.0)
    agreement = torch.zeros(2, 1, 2, 2)
    assert gate(torch.cat([rainy, rainy]), agreement)[0] > 0.99
    assert gate(torch.cat([rainy, covered]), agreement)[0] > 0.99
    assert gate(torch.cat([covered, covered]), agreement)[0] < 0.02


def test_gate_sees_how_many_matches_lead_back():
    gate = RainGate(1, 1)
    for parameter in gate.parameters():
        torch.nn.init.zeros_(parameter)
    gate.weigh.weight.data[:, -1], gate.decide.weight.data[:] = 10.0, 1.0
    gate.decide.bias.data.fill_(-5)
    features, agreement = torch.randn(2, 1, 4, 4), torch.ones(2, 1, 4, 4)
    assert gate(features, agreement)[0] > 0.99
    assert gate(features, 0 * agreement)[0] < 0.01
    agreement[:, :, :2] = 0
    assert gate(features, agreement)[0].item() == pytest.approx(0.5, abs=0.01)
