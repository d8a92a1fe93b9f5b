"""Stereo matching with OpenCV, as on a robot that computes depth without a network."""

from __future__ import annotations

import cv2
import numpy as np


def sgbm_disparity(left: np.ndarray, right: np.ndarray, max_disparity: int = 128) -> np.ndarray:
    """Match with semi-global block matching, with the settings that OpenCV's documentation recommends for colour.

    Args:
        left: (H, W, 3) uint8 RGB, rectified.
        right: (H, W, 3) uint8 RGB, rectified.
        max_disparity: largest disparity searched, px; rounded up to a multiple of 16, and cut to the width.

    Returns:
        (H, W) float32 disparity of the left view in px, NaN where no match was found.
    """
    block = 5
    search = 16 * -(-min(max_disparity, left.shape[1]) // 16)
    matcher = cv2.StereoSGBM.create(
        minDisparity=0,
        numDisparities=search,
        blockSize=block,
        P1=8 * 3 * block**2,
        P2=32 * 3 * block**2,
        disp12MaxDiff=1,
        uniquenessRatio=10,
        speckleWindowSize=100,
        speckleRange=2,
        mode=cv2.STEREO_SGBM_MODE_SGBM_3WAY,
    )
    # OpenCV leaves the first `search` columns unmatched: pad both views by that width, and crop the result.
    wide = [cv2.copyMakeBorder(view, 0, 0, search, 0, cv2.BORDER_REPLICATE) for view in (left, right)]
    sixteenths = matcher.compute(*wide)[:, search:]
    return np.where(sixteenths >= 0, sixteenths / np.float32(16), np.nan).astype(np.float32)
