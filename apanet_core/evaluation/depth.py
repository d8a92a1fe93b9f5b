"""Errors of the disparity that semi-global matching finds in derained pairs."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

AROUND_PX = 12  # on the row; an object that is drawn this much too wide is no free ghost
ERROR_COLOURS = {
    "right": (70, 80, 90),
    "ghost": (230, 60, 50),
    "too far": (240, 190, 60),
    "missing": (80, 160, 240),
    "unknown": (0, 0, 0),
}


class ErrorShares(NamedTuple):
    """Shares of the kinds of disparity errors, in [0, 1]; all NaN if no pixel has a truth and a clean disparity.

    Attributes:
        ghosts: nearer than the truth by more than the threshold, of the pixels with known truth.
        free_ghosts: nearer by more than the threshold than all that the truth shows within `AROUND_PX` on the row, of
            the same pixels: a robot brakes for nothing. Other ghosts are beside something as near.
        off: nearer or farther than the truth by more than the threshold, of the same pixels.
        missing: without a disparity, of the pixels where the clean pair has one, too.
    """

    ghosts: float
    free_ghosts: float
    off: float
    missing: float


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


def error_shares(disparity: np.ndarray, truth: np.ndarray, clean: np.ndarray, threshold_px: float = 3.0) -> ErrorShares:
    """Return the shares of the kinds of disparity errors.

    Args:
        disparity: (H, W) px, NaN where missing.
        truth: (H, W) px, not finite where unknown.
        clean: disparity of the clean pair, (H, W) px, NaN where missing.
        threshold_px: largest error that counts as right.

    Returns:
        The shares.
    """
    known = np.isfinite(truth)
    findable = known & np.isfinite(clean)
    if not findable.any():
        return ErrorShares(*(float("nan"),) * 4)
    found = _error_masks(disparity, truth, clean, threshold_px)
    # on the row only: the ground gets nearer from row to row
    row = np.ones((1, 2 * AROUND_PX + 1), np.uint8)
    nearest = cv2.dilate(np.where(known, truth, -np.inf).astype(np.float32), row)
    free = found["ghost"] & (disparity - nearest > threshold_px)
    shares = (
        found["ghost"][known],
        free[known],
        (found["ghost"] | found["too far"])[known],
        found["missing"][findable],
    )
    return ErrorShares(*(float(share.mean()) for share in shares))


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
