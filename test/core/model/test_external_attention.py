"""EAM against its formulas, written out in the plainest way."""

import pytest
import torch

from apanet_core.model.external_attention import ExternalAttention, ExternalAttentionBlock


def naive_external_attention(module, x, eps):
    """a = softmax over tokens of M_k x; a / (eps + sum over units); M_v a."""
    tokens = x.flatten(2).transpose(1, 2)  # (B, N, C)
    a = (tokens @ module.key.weight[:, :, 0, 0].T).softmax(dim=1)  # (B, N, S), over the N tokens
    a = a / (eps + a.sum(dim=2, keepdim=True))
    return (a @ module.value.weight[:, :, 0, 0].T).transpose(1, 2).reshape(x.shape)


@pytest.mark.parametrize("eps", [1e-9, 1e-2, 1e9])
def test_external_attention_matches_formula(eps):
    torch.manual_seed(0)
    module = ExternalAttention(6, 5, eps).double()
    x = torch.randn(2, 6, 7, 9, dtype=torch.float64)
    expected = naive_external_attention(module, x, eps)
    torch.testing.assert_close(module(x), expected, atol=1e-5 * expected.abs().max().item(), rtol=1e-4)


def test_external_attention_weights_sum_to_one_over_memory():
    module = ExternalAttention(6, 5, 1e-9)
    x = torch.randn(2, 6, 30, 40)
    weights = module.weights(x)
    torch.testing.assert_close(weights.sum(1), torch.ones(2, 30, 40), atol=1e-4, rtol=0)


def test_external_attention_repeated_image_gives_equal_result():
    """The softmax over tokens depends on the image size; the normalisation over the memory takes it out again."""
    module = ExternalAttention(6, 5, 1e-9)
    x = torch.randn(1, 6, 8, 8)
    tiled = x.repeat(1, 1, 3, 2)
    torch.testing.assert_close(module(tiled)[..., :8, :8], module(x), atol=1e-5, rtol=1e-4)


def test_external_block_float16_is_finite_and_near_float32():
    torch.manual_seed(0)
    module = ExternalAttentionBlock(8, 16)
    for scale in (module.attention_scale, module.feed_forward_scale):
        torch.nn.init.ones_(scale)
    x = 300 * torch.randn(1, 8, 64, 64)  # squares above 65504 overflow float16
    half = module.half()(x.half())
    assert torch.isfinite(half).all()
    torch.testing.assert_close(half.float(), module.float()(x), atol=2.0, rtol=0.02)


def test_external_block_is_identity_at_init_and_independent_in_batch():
    block = ExternalAttentionBlock(8, 4)
    x = torch.randn(2, 8, 6, 6)
    assert torch.equal(block(x), x)
    for scale in (block.attention_scale, block.feed_forward_scale):
        torch.nn.init.ones_(scale)
    torch.testing.assert_close(block(x)[:1], block(x[:1]))


def test_external_block_without_memory_has_no_attention_parameters():
    names = [name for name, _ in ExternalAttentionBlock(8, None).named_parameters()]
    assert not any("attention" in name for name in names)
