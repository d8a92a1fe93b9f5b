import cv2
import numpy as np
import pytest
import torch

from apanet_core.training.losses import (
    box_ssim,
    charbonnier,
    check_weights,
    dark_channel,
    frequency,
    ssim,
    total_variation,
)


def test_losses_are_near_zero_for_equal_images_and_grow_with_error():
    clean = torch.rand(2, 3, 32, 32)
    for loss in (charbonnier, frequency, ssim, box_ssim):
        small, large = (loss(clean + scale * torch.randn_like(clean), clean) for scale in (0.01, 0.2))
        assert loss(clean, clean) < min(2e-3, small)
        assert small < large


def test_ssim_loss_matches_scikit_image():
    from skimage.metrics import structural_similarity

    rng = np.random.default_rng(0)
    a = cv2.GaussianBlur(rng.uniform(size=(64, 64, 3)), (0, 0), 2)
    b = np.clip(a + rng.normal(0, 0.05, a.shape), 0, 1)
    tensors = [torch.from_numpy(x.transpose(2, 0, 1)[None]).float() for x in (a, b)]
    expected = structural_similarity(
        a, b, channel_axis=2, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert 1 - ssim(*tensors).item() == pytest.approx(expected, abs=2e-3)


def test_box_ssim_loss_matches_mean_over_every_second_window():
    generator = torch.Generator().manual_seed(0)
    a = torch.rand(1, 2, 12, 15, generator=generator, dtype=torch.float64)
    b = (a + 0.2 * torch.rand(a.shape, generator=generator, dtype=torch.float64)).clamp(0, 1)
    similarities = []
    for channel in range(2):
        for y in range(0, 12 - 6, 2):
            for x in range(0, 15 - 6, 2):
                p, q = (v[0, channel, y : y + 7, x : x + 7].numpy().ravel() for v in (a, b))
                covariance = np.mean(p * q) - p.mean() * q.mean()
                similarities.append(
                    (2 * p.mean() * q.mean() + 1e-4)
                    / (p.mean() ** 2 + q.mean() ** 2 + 1e-4)
                    * (2 * covariance + 9e-4)
                    / (p.var() + q.var() + 9e-4)
                )
    assert box_ssim(a, b).item() == pytest.approx(1 - np.mean(similarities), abs=1e-9)


def test_unknown_losses_are_refused():
    with pytest.raises(ValueError, match="losses must name some of charbonnier.*got lpips"):
        check_weights({"lpips": 1.0})


def test_total_variation_counts_both_directions():
    image = torch.zeros(1, 3, 10, 10)
    image[..., 5:, :] = 1  # one step down in each of 10 columns, of 9 differences each
    assert total_variation(image).item() == pytest.approx(1 / 9)
    assert total_variation(image.transpose(2, 3)).item() == pytest.approx(1 / 9)


def test_dark_channel_is_minimum_over_colour_and_window_per_view():
    image = torch.ones(1, 3, 60, 60)
    image[0, 1, 10, 10] = 0
    dark = torch.ones(60, 60)
    dark[:28, :28] = 0  # 17 px around it, and the border
    assert dark_channel(image).item() == pytest.approx(dark.mean().item())
    other = torch.ones(1, 3, 60, 60)
    both = dark_channel(torch.cat([image, other])).item()
    assert both == pytest.approx((dark_channel(image).item() + 1) / 2)
