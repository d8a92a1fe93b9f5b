import numpy as np
import pytest
import torch
from networks import fill_zeros

from apanet_core import StereoDerainer
from apanet_core.model import layers
from apanet_core.model.attention_disparity import AttentionDisparity
from apanet_core.model.config import ModelConfig
from apanet_core.model.network import APANet
from apanet_core.model.parallax_attention import ParallaxAttention


def sharp_matcher(channels, max_disparity_columns=None):
    """APAM whose query and key are the features themselves, so large that attention sits on the equal column."""
    module = ParallaxAttention(channels, max_disparity_columns)
    for projection in (module.query, module.key):
        torch.nn.init.zeros_(projection.bias)
        projection.weight.data = 20 * torch.eye(channels)[:, :, None, None]
    return module


@pytest.mark.parametrize("reach", [None, 9])
def test_match_sharp_attention_returns_true_shift(reach):
    torch.manual_seed(0)
    right = torch.randn(1, 16, 4, 60)
    left = torch.zeros_like(right)
    left[..., 5:] = right[..., :-5]  # x_right = x_left - 5
    columns, deviation = sharp_matcher(16, reach).match(left, right)
    torch.testing.assert_close(columns[:, 5:], torch.full((4, 55), 5.0), atol=0.01, rtol=0)
    assert deviation[:, 5:].max() < 0.2


def test_match_uniform_attention_returns_mean_and_deviation():
    module = ParallaxAttention(8)
    for projection in (module.query, module.key):
        torch.nn.init.zeros_(projection.weight)
    columns, deviation = module.match(torch.randn(1, 8, 2, 41), torch.randn(1, 8, 2, 41))
    torch.testing.assert_close(columns[0], torch.arange(41.0) / 2, atol=1e-3, rtol=0)  # the mean of 0..i
    assert abs(deviation[0, 40].item() - np.sqrt((41**2 - 1) / 12)) < 0.01


def test_attention_disparity_in_strips_matches_whole(monkeypatch):
    torch.manual_seed(0)
    network = APANet(ModelConfig(1, (8, 8), (1, 1), (1,), 4, (2,), (1, 2))).eval()
    fill_zeros(network, std=0.3)
    views = torch.rand(1, 3, 33, 41), torch.rand(1, 3, 33, 41)
    maps = []
    for strip in (layers.CPU_STRIP, 500):
        monkeypatch.setattr(layers, "CPU_STRIP", strip)
        reader = AttentionDisparity(network)
        with torch.inference_mode():
            network(*views)
        maps.append(reader.read(33, 41))
        reader.close()
    for whole, strips in zip(*maps):
        assert whole.shape == (33, 41)
        torch.testing.assert_close(whole, strips, atol=1e-3, rtol=1e-3)


def test_with_disparity_equals_plain_call_and_removes_hooks():
    rng = np.random.default_rng(0)
    pair = tuple(rng.integers(0, 256, (40, 70, 3), dtype=np.uint8) for _ in range(2))
    derainer = StereoDerainer("tiny", engine="torch")
    result = derainer.with_disparity(*pair)
    assert np.array_equal(result.left, derainer(*pair)[0])
    assert result.disparity_px.shape == result.confidence.shape == (40, 70)
    assert ((result.disparity_px >= 0) & (result.disparity_px <= 192)).all()
    assert ((result.confidence >= 0) & (result.confidence <= 1)).all()
    assert result.confidence.any()
    assert not any(m._forward_pre_hooks for m in derainer.engine.network.modules())


@pytest.mark.parametrize("options", [{"engine": "openvino"}, {"engine": "torch", "tile": 64}])
def test_with_disparity_openvino_or_tiles_are_refused(options, smallest):
    view = np.zeros((40, 40, 3), np.uint8)
    with pytest.raises(ValueError, match="use engine 'torch'"):
        StereoDerainer(smallest, **options).with_disparity(view, view)


def test_attention_disparity_without_parallax_attention_is_refused():
    with pytest.raises(ValueError, match="no parallax attention"):
        AttentionDisparity(APANet(ModelConfig(1, (8, 8), (1, 1), (1,), 4, (2,), ())))
