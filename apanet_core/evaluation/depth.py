"""Errors of the disparity that semi-global matching finds in derained pairs."""

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
    """Return the share of pixels with known truth whose disparity is missing or wrong by more than `threshold_px`.

    Args:
        disparity: (H, W) px, NaN where missing.
        truth: (H, W) px, not finite where unknown.
        threshold_px: largest error that counts as right.

    Returns:
        A share in [0, 1]; NaN if no truth is known.
    """
    known = np.isfinite(truth)
    if not known.any():
        return float("nan")
    right = np.abs(disparity[known] - truth[known]) <= threshold_px  # False for NaN
    return float(1 - right.mean())


def error_shares(
    disparity: np.ndarray, truth: np.ndarray, clean: np.ndarray, threshold_px: float = 3.0
) -> tuple[float, float, float]:
    """Return the shares of the kinds of disparity errors.

    Args:
        disparity: (H, W) px, NaN where missing.
        truth: (H, W) px, not finite where unknown.
        clean: disparity of the clean pair, (H, W) px, NaN where missing.
        threshold_px: largest error that counts as right.

    Returns:
        Shares in [0, 1]. Of the pixels with known truth: ghosts, which are nearer than the truth, so that a robot
        brakes; and those that are off, ghosts included. Of those where the clean pair also has a disparity: missing
        ones. All NaN if no pixel has both.
    """
    known = np.isfinite(truth)
    findable = known & np.isfinite(clean)
    if not findable.any():
        return (float("nan"),) * 3
    found = _error_masks(disparity, truth, clean, threshold_px)
    ghosts, off = found["ghost"][known].mean(), (found["ghost"] | found["too far"])[known].mean()
    return float(ghosts), float(off), float(found["missing"][findable].mean())


def _error_masks(
    disparity: np.ndarray, truth: np.ndarray, clean: np.ndarray, threshold_px: float
) -> dict[str, np.ndarray]:
    """Return (H, W) bool by kind, for the pixels with known truth; a missing disparity compares as False."""
    known = np.isfinite(truth)
    error = np.where(known, disparity - truth, np.nan)
    return {
        "right": np.abs(error) <= threshold_px,
        "ghost": error > threshold_px,
        "too far": error < -threshold_px,
        "missing": known & np.isfinite(clean) & ~np.isfinite(disparity),
    }


def end_point_error(disparity: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean absolute disparity error in px over the matched pixels with known truth.

    It ignores missing disparities; `bad_pixel_rate` counts them.

    Args:
        disparity: (H, W) px, NaN where missing.
        truth: (H, W) px, not finite where unknown.

    Returns:
        Error in px; NaN if there is no such pixel.
    """
    both = np.isfinite(disparity) & np.isfinite(truth)
    return float(np.abs(disparity[both] - truth[both]).mean(dtype=np.float64)) if both.any() else float("nan")


def colour_disparity(disparity: np.ndarray, top: float) -> np.ndarray:
    """Colour (H, W) px as (H, W, 3) uint8 RGB: blue is 0, red is `top` px and more, black is unknown."""
    scaled = np.nan_to_num(255 * np.clip(disparity / top, 0, 1)).astype(np.uint8)
    coloured = cv2.cvtColor(cv2.applyColorMap(scaled, cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)
    return np.where(np.isfinite(disparity)[..., None], coloured, 0).astype(np.uint8)


def colour_errors(disparity: np.ndarray, truth: np.ndarray, clean: np.ndarray, threshold_px: float = 3.0) -> np.ndarray:
    """Draw a map of the errors that `error_shares` counts.

    Args:
        disparity: the arguments are those of `error_shares`.
        truth: true disparity.
        clean: disparity of the clean pair.
        threshold_px: largest error of a right disparity.

    Returns:
        (H, W, 3) uint8 RGB, in the colours of `ERROR_COLOURS`.
    """
    picture = np.full((*disparity.shape, 3), ERROR_COLOURS["unknown"], np.uint8)
    for kind, where in _error_masks(disparity, truth, clean, threshold_px).items():
        picture[where] = ERROR_COLOURS[kind]
    return picture
