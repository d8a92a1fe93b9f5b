"""APAM against an independent row-by-row loop written from its formulas."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel

from apanet_core.model.parallax_attention import (
    ParallaxAttention,
    banded_attention,
    cheapest_block,
    masked_attention,
    scanline_attention,
    unmasked_attention,
)


def naive_attention(query, key, value, reach, for_right_view=False):
    """One pixel at a time: softmax over the columns that the disparity range allows."""
    batch, height, width, channels = query.shape
    result = torch.zeros_like(value)
    for b in range(batch):
        for y in range(height):
            for i in range(width):
                far = width if reach is None else reach
                columns = range(i, min(i + far, width - 1) + 1) if for_right_view else range(max(i - far, 0), i + 1)
                logits = torch.stack([query[b, y, i] @ key[b, y, j] / math.sqrt(channels) for j in columns])
                for weight, j in zip(logits.softmax(0), columns):
                    result[b, y, i] += weight * value[b, y, j]
    return result


def random_rows(width, seed=0, height=2, channels=4):
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(1, height, width, channels, generator=generator) for _ in range(3))


@settings(max_examples=40, deadline=None)
@given(width=st.integers(1, 40), reach=st.none() | st.integers(1, 45), for_right_view=st.booleans())
def test_attention_forms_match_naive_loop(width, reach, for_right_view):
    rows = random_rows(width)
    expected = naive_attention(*rows, reach, for_right_view)
    torch.testing.assert_close(scanline_attention(*rows, reach, for_right_view), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(masked_attention(*rows, reach, for_right_view), expected, atol=1e-5, rtol=1e-5)
    if reach is not None:
        torch.testing.assert_close(banded_attention(*rows, reach, 8, for_right_view), expected, atol=1e-5, rtol=1e-5)


def test_scanline_attention_batch_of_blocks_matches_masked():
    rows = [torch.cat([a, b]) for a, b in zip(random_rows(width=200), random_rows(width=200, seed=1))]
    for for_right_view in (False, True):
        torch.testing.assert_close(
            scanline_attention(*rows, 8, for_right_view),
            masked_attention(*rows, 8, for_right_view),
            atol=1e-5,
            rtol=1e-5,
        )


@pytest.mark.parametrize("block", [1, 16, 128, 500])
def test_banded_attention_any_block_size_matches_masked(block):
    rows = random_rows(width=70)
    for for_right_view in (False, True):
        torch.testing.assert_close(
            banded_attention(*rows, 9, block, for_right_view),
            masked_attention(*rows, 9, for_right_view),
            atol=1e-5,
            rtol=1e-5,
        )


@pytest.mark.parametrize(
    ("width", "reach", "blocks", "expected"),
    [
        (311, 48, (64, 128), 64),  # 35,840 products a row; blocks of 128 need 67,584, one mask 96,721
        (960, 192, (64, 128), 64),
        (156, 96, (64, 128), None),  # 24,336 in one mask, 30,720 in blocks of 64
        (311, 48, (32,), 32),
        (40, 30, (32,), None),
    ],
)
def test_cheapest_block_has_fewest_products(width, reach, blocks, expected):
    assert cheapest_block(width, reach, blocks) == expected


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("reach", [None, 24, 192])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_scanline_attention_cuda_matches_cpu(reach, dtype):
    rows = random_rows(width=300, height=6, channels=32)
    for for_right_view in (False, True):
        got = scanline_attention(*(r.to("cuda", dtype) for r in rows), reach, for_right_view).float().cpu()
        torch.testing.assert_close(got, scanline_attention(*rows, reach, for_right_view), atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize("reach", [None, 5])
def test_parallax_attention_runs_in_fused_kernel_with_gradients(reach):
    module = ParallaxAttention(8, reach)
    views = [torch.randn(1, 8, 3, 70, requires_grad=True) for _ in range(2)]
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):  # raises where the fused kernel cannot serve
        derained = module(*views)
        torch.autograd.grad(sum(view.sum() for view in derained), [*views, *module.parameters()])


def test_scanline_weights_sum_to_one_and_are_zero_outside_mask():
    query, key, _ = random_rows(width=12)
    one_hot = torch.eye(12).expand(1, 2, 12, 12)  # value = column number, so that the output is the weights
    to_left = scanline_attention(query, key, one_hot, max_disparity_columns=5)
    torch.testing.assert_close(to_left.sum(-1), torch.ones(1, 2, 12))
    disparity = torch.arange(12)[:, None] - torch.arange(12)
    assert to_left[..., (disparity < 0) | (disparity > 5)].abs().max() == 0
    to_right = scanline_attention(query, key, one_hot, max_disparity_columns=5, for_right_view=True)
    assert to_right[..., (disparity > 0) | (disparity < -5)].abs().max() == 0


def test_banded_attention_gradients_match_masked():
    rows = [r.double().requires_grad_() for r in random_rows(width=40)]
    target = torch.randn(1, 2, 40, 4, dtype=torch.float64)
    gradients = []
    for form in (banded_attention, masked_attention):
        gradients.append(torch.autograd.grad((form(*rows, 3) * target).sum(), rows))
    for banded, masked in zip(*gradients):
        torch.testing.assert_close(banded, masked)
    small = [r.double().requires_grad_() for r in random_rows(width=7, height=1, channels=2)]
    assert torch.autograd.gradcheck(lambda *r: banded_attention(*r, 2), small)


@pytest.mark.parametrize("reach", [None, 3])
def test_parallax_attention_matches_formulas(reach):
    torch.manual_seed(0)
    module = ParallaxAttention(4, reach).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    left, right = torch.randn(2, 4, 3, 9).double(), torch.randn(2, 4, 3, 9).double()

    def norm(x, layer):
        mean, variance = x.mean(1, keepdim=True), x.var(1, unbiased=False, keepdim=True)
        return (x - mean) / torch.sqrt(variance + 1e-6) * layer.weight[:, None, None] + layer.bias[:, None, None]

    def project(x, conv):
        return (torch.einsum("oc,bchw->bohw", conv.weight[:, :, 0, 0], x) + conv.bias[:, None, None]).permute(
            0, 2, 3, 1
        )

    query, key = (
        project(norm(left, module.left_norm), module.query),
        project(norm(right, module.right_norm), module.key),
    )
    from_right = naive_attention(query, key, project(right, module.right_value), reach)
    from_left = naive_attention(key, query, project(left, module.left_value), reach, for_right_view=True)
    got_left, got_right = module(left, right)
    torch.testing.assert_close(
        got_left, left + module.left_scale * from_right.permute(0, 3, 1, 2), atol=1e-5, rtol=1e-5
    )
    torch.testing.assert_close(
        got_right, right + module.right_scale * from_left.permute(0, 3, 1, 2), atol=1e-5, rtol=1e-5
    )


def test_parallax_attention_mirrored_swapped_views_mirror_result():
    torch.manual_seed(0)
    module, mirrored = ParallaxAttention(4, 3), ParallaxAttention(4, 3)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    swap = {"left": "right", "right": "left", "query": "key", "key": "query"}
    state = module.state_dict()
    mirrored.load_state_dict({n: state[n.replace(h, swap[h], 1)] for n in state for h in swap if n.startswith(h)})
    left, right = torch.randn(1, 4, 2, 11), torch.randn(1, 4, 2, 11)
    expected_left, expected_right = module(left, right)
    got_left, got_right = mirrored(right.flip(-1), left.flip(-1))
    torch.testing.assert_close(got_left.flip(-1), expected_right)
    torch.testing.assert_close(got_right.flip(-1), expected_left)


def test_untrained_parallax_attention_is_identity():
    left, right = torch.randn(1, 4, 2, 5), torch.randn(1, 4, 2, 5)
    got_left, got_right = ParallaxAttention(4)(left, right)
    assert torch.equal(got_left, left)
    assert torch.equal(got_right, right)


def test_unmasked_attention_weights_reach_every_column():
    query, key, _ = random_rows(width=12)
    one_hot = torch.eye(12).expand(1, 2, 12, 12)
    weights = unmasked_attention(query, key, one_hot, None)
    torch.testing.assert_close(weights.sum(-1), torch.ones(1, 2, 12))
    assert (weights > 0).all()
    assert ParallaxAttention(4, mask=False).attention is unmasked_attention
