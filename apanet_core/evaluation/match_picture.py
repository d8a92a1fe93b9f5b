"""A picture of where the parallax attention looks: lines from pixels of the left view to their matches."""

from __future__ import annotations

import cv2
import numpy as np

COLUMNS, ROWS = 9, 4  # points of the grid
RIGHT, WRONG, UNKNOWN = (90, 220, 120), (255, 80, 60), (240, 220, 80)  # RGB


def draw_matches(
    left: np.ndarray,
    right: np.ndarray,
    disparity: np.ndarray,
    confidence: np.ndarray,
    truth: np.ndarray,
    threshold_px: float = 3.0,
) -> np.ndarray:
    """Draw the match of a grid of left pixels: the left view above, the right view below, a line between.

    Args:
        left: (H, W, 3) uint8 RGB.
        right: (H, W, 3) uint8 RGB.
        disparity: (H, W) px that the attention implies for the left view.
        confidence: (H, W) in [0, 1]; a sure match has a thick line.
        truth: (H, W) px, not finite where unknown.
        threshold_px: largest error of a right match.

    Returns:
        (2 H, W, 3) uint8 RGB. Lines of right matches are green, of wrong ones red, of unknown truth yellow.
    """
    height, width = disparity.shape
    picture = np.concatenate([left, right]).copy()
    radius = max(2, width // 300)
    for row in np.linspace(0, height - 1, ROWS + 2).round().astype(int)[1:-1]:
        for column in np.linspace(0, width - 1, COLUMNS + 2).round().astype(int)[1:-1]:
            error = disparity[row, column] - truth[row, column]
            colour = UNKNOWN if not np.isfinite(error) else RIGHT if abs(error) <= threshold_px else WRONG
            here = (int(column), int(row))
            there = (round(float(column - disparity[row, column])), int(row + height))
            thickness = 2 if confidence[row, column] > 0.9 else 1
            cv2.line(picture, here, there, colour, thickness, cv2.LINE_AA)
            for point in (here, there):
                cv2.circle(picture, point, radius, colour, -1, cv2.LINE_AA)
    return picture
