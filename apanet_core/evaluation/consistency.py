"""Consistency of the two views of a derained pair."""

from __future__ import annotations

import cv2
import numpy as np

from apanet_core.stereo.disparity import fill_unknown, to_right_view

HIDDEN_PX = 1.0  # a pixel is hidden if the right view shows a point nearer by more than this


def photometric_error(left: np.ndarray, right: np.ndarray, disparity: np.ndarray) -> float:
    """Return the mean absolute difference of the left view and the right view warped onto it, in grey levels.

    Streaks and artefacts in only one view raise it. Blur lowers it. The clean pair has a value above 0, since cameras
    differ, surfaces reflect and disparities have errors. Therefore the clean pair's value is the best one.

    The left pixel x is compared with the right view at x - disparity, interpolated linearly. Pixels without a known
    disparity, outside the right view, or hidden there behind a nearer point are left out.

    Args:
        left: (H, W, 3) uint8 RGB.
        right: (H, W, 3) uint8 RGB.
        disparity: (H, W) px of the left view, not finite where unknown: the true one, or that of the clean pair.

    Returns:
        Grey levels in [0, 255]; NaN if all pixels are left out.
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
