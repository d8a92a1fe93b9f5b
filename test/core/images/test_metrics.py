import cv2
import numpy as np
import pytest
import torch

from apanet_core.evaluation.depth import (
    ERROR_COLOURS,
    bad_pixel_rate,
    colour_disparity,
    colour_errors,
    end_point_error,
    error_shares,
)
from apanet_core.images.metrics import brightness_shift, luma, psnr, ssim
from apanet_core.stereo.sgbm import sgbm_disparity


def test_psnr_known_error_matches_formula():
    clean = torch.zeros(2, 3, 8, 8)
    assert psnr(clean + 0.1, clean).tolist() == pytest.approx([20.0, 20.0], abs=1e-4)
    assert psnr(clean, clean).tolist() == [100.0, 100.0]


def test_ssim_batch_returns_score_per_image():
    image = torch.rand(2, 3, 32, 32)
    other = torch.stack([image[0], torch.rand(3, 32, 32)])
    scores = ssim(other, image)
    assert scores[0].item() == pytest.approx(1.0)
    assert scores[1] < 0.5


def test_sgbm_disparity_finds_known_shift():
    rng = np.random.default_rng(0)
    wide = cv2.GaussianBlur(rng.integers(0, 256, (80, 260, 3), dtype=np.uint8), (0, 0), 1)
    left, right = wide[:, :240], wide[:, 20:]  # right shows what left shows 20 px further right
    disparity = sgbm_disparity(left, right, 32)
    inside = disparity[10:-10, 30:-10]
    assert np.nanmedian(inside) == pytest.approx(20, abs=0.1)
    assert bad_pixel_rate(inside, np.full(inside.shape, 20.0)) < 0.05


def test_bad_pixel_rate_counts_missing_and_far_but_not_unknown():
    truth = np.array([10.0, 10.0, 10.0, 10.0, np.nan])
    disparity = np.array([10.0, 12.9, 13.1, np.nan, 5.0])
    assert bad_pixel_rate(disparity, truth) == 0.5
    assert np.isnan(bad_pixel_rate(disparity, np.full(5, np.nan)))


def test_error_shares_separate_ghosts_wrong_and_missing():
    truth = np.array([10.0, 10.0, 10.0, 10.0, 10.0, np.nan])
    clean = np.array([10.0, 10.0, 10.0, np.nan, 10.0, 10.0])
    disparity = np.array([14.0, 6.0, np.nan, np.nan, 12.0, 40.0])
    ghosts, wrong, missing = error_shares(disparity, truth, clean)
    assert (ghosts, wrong, missing) == (0.2, 0.4, 0.25)
    assert all(np.isnan(error_shares(disparity, np.full(6, np.nan), clean)))
    colours = {colour: name for name, colour in ERROR_COLOURS.items()}
    seen = [colours[tuple(pixel)] for pixel in colour_errors(disparity[None], truth[None], clean[None])[0].tolist()]
    assert seen == ["ghost", "too far", "missing", "unknown", "right", "unknown"]


def test_end_point_error_is_mean_shift_of_known_pixels():
    rng = np.random.default_rng(0)
    truth = rng.uniform(0, 60, (20, 30)).astype(np.float32)
    disparity = truth + np.where(np.arange(30) < 15, 1.5, -0.5).astype(np.float32)
    assert end_point_error(disparity, truth) == pytest.approx(1.0, abs=1e-5)
    disparity[:, 15:] = np.nan  # unmatched
    assert end_point_error(disparity, truth) == pytest.approx(1.5, abs=1e-5)
    truth[:, :15] = np.nan  # unknown
    assert np.isnan(end_point_error(disparity, truth))


def test_colour_disparity_near_is_red_far_is_blue_unknown_is_black():
    red, blue, black = colour_disparity(np.array([[40.0, 0.0, np.nan]]), top=20)[0].astype(int)
    assert red[0] > red[2]
    assert blue[2] > blue[0]
    assert black.tolist() == [0, 0, 0]


def test_luma_matches_bt_601():
    pixels = torch.tensor([[1.0, 1, 1], [0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0.2, 0.4, 0.6]])
    r, g, b = 255 * pixels.T
    # the definition: analogue Y' of BT.601, onto 16..235
    expected = 16 + 219 * (0.299 * r + 0.587 * g + 0.114 * b) / 255
    found = 255 * luma(pixels.T[None, :, :, None])[0, 0, :, 0]
    assert found.tolist() == pytest.approx(expected.tolist(), abs=0.01)


def test_psnr_and_ssim_match_scikit_image():
    metrics = pytest.importorskip("skimage.metrics", reason="scikit-image is not installed")
    rng = np.random.default_rng(1)
    clean = cv2.GaussianBlur(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8), (0, 0), 2) / 255
    noisy = np.clip(clean + rng.normal(0, 0.05, clean.shape), 0, 1)
    for convert, channel in ((lambda x: x, 2), (luma, None)):
        image, reference = (convert(torch.from_numpy(x.transpose(2, 0, 1))[None].float()) for x in (noisy, clean))
        arrays = [x[0].numpy().transpose(1, 2, 0).squeeze() for x in (image, reference)]
        settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
        similarity = metrics.structural_similarity(*arrays, channel_axis=channel, **settings)
        assert psnr(image, reference).item() == pytest.approx(
            metrics.peak_signal_noise_ratio(arrays[1], arrays[0], data_range=1.0), abs=1e-3
        )
        assert ssim(image, reference).item() == pytest.approx(similarity, abs=1e-5)


def test_brightness_shift_is_signed_in_grey_levels():
    clean = torch.full((2, 3, 8, 8), 0.5)
    image = torch.stack([clean[0] + 2 / 255, clean[1] - 3 / 255])
    assert brightness_shift(image, clean).tolist() == pytest.approx([2, -3], abs=1e-4)
