"""Geometry of a rectified stereo camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class StereoCamera:
    """Two rectified pinhole cameras with parallel axes.

    Convention: X right, Y down, Z forward, in metres, origin in the left camera; ``x_right = x_left - disparity``.

    Args:
        focal_px: focal length of both views.
        baseline_m: distance of the right camera to the right of the left one.
        cx: principal point column of the left view, px.
        cy: principal point row of both views, px.
        cx_right: principal point column of the right view; None if equal to `cx`.
    """

    focal_px: float
    baseline_m: float
    cx: float
    cy: float
    cx_right: float | None = None

    def __post_init__(self) -> None:
        if not 1e-3 <= self.focal_px <= 1e6 or not 0 < self.baseline_m <= 1e3:
            raise ValueError(
                "focal_px must be 1e-3 to 1e6 px, and baseline_m above 0 and up to 1000 m: got "
                f"{self.focal_px} px and {self.baseline_m} m"
            )

    @property
    def disparity_offset(self) -> float:
        """Return cx_right - cx: the negated disparity of a point at infinity."""
        return 0.0 if self.cx_right is None else self.cx_right - self.cx

    def disparity(self, depth_m: np.ndarray) -> np.ndarray:
        """Return the disparity in px of points at `depth_m`."""
        return self.focal_px * self.baseline_m / depth_m - self.disparity_offset

    def depth(self, disparity_px: np.ndarray) -> np.ndarray:
        """Return the depth in metres; infinite where the disparity is at most that of a point at infinity."""
        shifted = disparity_px + self.disparity_offset
        with np.errstate(divide="ignore"):
            return np.where(shifted > 0, self.focal_px * self.baseline_m / np.maximum(shifted, 1e-9), np.inf)
