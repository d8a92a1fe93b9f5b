"""What deraining does for stereo depth, measured with semi-global matching."""

from __future__ import annotations

import cv2
import numpy as np

ERROR_COLOURS = {
    "right": (70, 80, 90),
    "ghost": (230, 60, 50),
    "too far": (240, 190, 60),
    "missing": (80, 160, 240),
    "unknown": (0, 0, 0),
}


def bad_pixel_rate(disparity: np.ndarray, truth: np.ndarray, threshold_px: float = 3.0) -> float:
    """Share of the pixels with known truth whose disparity is missing or off by more than `threshold_px`.

    Args:
        disparity: (H, W) px, NaN where missing.
        truth: (H, W) px, not finite where unknown.
        threshold_px: largest error that still counts as right.

    Returns:
        A share in [0, 1]; NaN when no truth is known.
    """
    known = np.isfinite(truth)
    if not known.any():
        return float("nan")
    right = np.abs(disparity[known] - truth[known]) <= threshold_px  # False for NaN
    return float(1 - right.mean())


def error_shares(
    disparity: np.ndarray, truth: np.ndarray, clean: np.ndarray, threshold_px: float = 3.0
) -> tuple[float, float, float]:
    """Split the errors of a disparity map into what a robot feels.

    Args:
        disparity: (H, W) px, NaN where missing.
        truth: (H, W) px, not finite where unknown.
        clean: disparity of the clean pair, (H, W) px, NaN where that has none.
        threshold_px: largest error that still counts as right.

    Returns:
        Shares in [0, 1]. Of the pixels with known truth: ghosts, which are nearer than the truth, so that a robot
        brakes; and wrong ones, ghosts included. Of those where the clean pair has a disparity: missing ones. NaN each
        where there is nothing to compare.
    """
    known = np.isfinite(truth)
    findable = known & np.isfinite(clean)
    if not findable.any():
        return (float("nan"),) * 3
    error = disparity[known] - truth[known]  # NaN where missing, which compares as False
    ghosts, wrong = (error > threshold_px).mean(), (np.abs(error) > threshold_px).mean()
    return float(ghosts), float(wrong), float(np.isnan(disparity[findable]).mean())


def end_point_error(disparity: np.ndarray, truth: np.ndarray) -> float:
    """Mean absolute disparity error in px over the pixels that are matched and whose truth is known.

    Unmatched pixels do not count, so read it beside `bad_pixel_rate`, where they do.

    Args:
        disparity: (H, W) px, NaN where missing.
        truth: (H, W) px, not finite where unknown.

    Returns:
        Pixels; NaN when there is nothing to compare.
    """
    both = np.isfinite(disparity) & np.isfinite(truth)
    return float(np.abs(disparity[both] - truth[both]).mean(dtype=np.float64)) if both.any() else float("nan")


def colour_disparity(disparity: np.ndarray, top: float) -> np.ndarray:
    """(H, W) px -> (H, W, 3) uint8 RGB: blue is 0, red is `top` px and more, black is unknown."""
    scaled = np.nan_to_num(255 * np.clip(disparity / top, 0, 1)).astype(np.uint8)
    coloured = cv2.cvtColor(cv2.applyColorMap(scaled, cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)
    return np.where(np.isfinite(disparity)[..., None], coloured, 0).astype(np.uint8)


def colour_errors(disparity: np.ndarray, truth: np.ndarray, clean: np.ndarray, threshold_px: float = 3.0) -> np.ndarray:
    """Map what `error_shares` counts.

    Args:
        disparity: (H, W) px, NaN where missing.
        truth: (H, W) px, not finite where unknown.
        clean: disparity of the clean pair, (H, W) px, NaN where that has none.
        threshold_px: largest error that still counts as right.

    Returns:
        (H, W, 3) uint8 RGB, in the colours of `ERROR_COLOURS`.
    """
    error = disparity - truth  # NaN where missing or unknown
    picture = np.full((*disparity.shape, 3), ERROR_COLOURS["unknown"], np.uint8)
    picture[np.abs(error) <= threshold_px] = ERROR_COLOURS["right"]
    picture[error < -threshold_px] = ERROR_COLOURS["too far"]
    picture[error > threshold_px] = ERROR_COLOURS["ghost"]
    picture[np.isfinite(truth) & np.isfinite(clean) & ~np.isfinite(disparity)] = ERROR_COLOURS["missing"]
    return picture
