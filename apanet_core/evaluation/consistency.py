"""Whether the two views of a pair still show the same scene."""

from __future__ import annotations

import cv2
import numpy as np

from apanet_core.stereo.disparity import fill_unknown, to_right_view

HIDDEN_PX = 1.0  # a pixel is hidden when the right view shows something nearer by more than this


def photometric_error(left: np.ndarray, right: np.ndarray, disparity: np.ndarray) -> float:
    """Mean absolute difference between the left view and the right view moved onto it, on the 8-bit scale.

    Streaks and artefacts that are in one view only raise it. The clean pair is not at 0 either: cameras differ,
    surfaces gleam, and disparities are not exact; and blur lowers it; so the best value is that of the clean pair.

    Convention: the left pixel x is compared with the right view at x - disparity, between pixels linearly. What has no
    known disparity, lies outside the right view, or is hidden there behind something nearer, does not count.

    Args:
        left: (H, W, 3) uint8 RGB.
        right: as `left`.
        disparity: (H, W) px of the left view, not finite where unknown: the true one, or that of the clean pair.

    Returns:
        Grey levels in [0, 255]; NaN when no pixel counts.
    """
    height, width = disparity.shape
    known = np.isfinite(disparity)
    shift = np.where(known, disparity, 0).astype(np.float32)
    columns = np.arange(width, dtype=np.float32) - shift
    rows = np.broadcast_to(np.arange(height, dtype=np.float32)[:, None], shift.shape).copy()
    moved = cv2.remap(right.astype(np.float32), columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    nearest = cv2.remap(
        to_right_view(fill_unknown(disparity)), columns, rows, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE
    )
    seen = known & (columns >= 0) & (nearest <= shift + HIDDEN_PX)
    return float(np.abs(left - moved)[seen].mean(dtype=np.float64)) if seen.any() else float("nan")
