import cv2
import numpy as np
import pytest
import torch

from apanet_core.evaluation.depth import sgbm_disparity, wrong_share
from apanet_core.evaluation.metrics import psnr, ssim


def test_psnr_of_a_known_error():
    clean = torch.zeros(2, 3, 8, 8)
    assert psnr(clean + 0.1, clean).tolist() == pytest.approx([20.0, 20.0], abs=1e-4)
    assert psnr(clean, clean).tolist() == [100.0, 100.0]


def test_ssim_is_per_image_and_one_for_equal_images():
    image = torch.rand(2, 3, 32, 32)
    other = torch.stack([image[0], torch.rand(3, 32, 32)])
    scores = ssim(other, image)
    assert scores[0].item() == pytest.approx(1.0)
    assert scores[1] < 0.5


def test_sgbm_finds_a_known_shift_over_the_whole_width():
    rng = np.random.default_rng(0)
    wide = cv2.GaussianBlur(rng.integers(0, 256, (80, 260, 3), dtype=np.uint8), (0, 0), 1)
    left, right = wide[:, :240], wide[:, 20:]  # right shows what left shows 20 px further right
    disparity = sgbm_disparity(left, right, 32)
    inside = disparity[10:-10, 30:-10]
    assert np.nanmedian(inside) == pytest.approx(20, abs=0.1)
    assert wrong_share(inside, np.full(inside.shape, 20.0)) < 0.05


def test_wrong_share_counts_missing_and_far_but_not_unknown():
    truth = np.array([10.0, 10.0, 10.0, 10.0, np.nan])
    disparity = np.array([10.0, 12.9, 13.1, np.nan, 5.0])
    assert wrong_share(disparity, truth) == 0.5
    assert np.isnan(wrong_share(disparity, np.full(5, np.nan)))
