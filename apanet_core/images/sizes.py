"""Checks of the image sizes that can be derained."""

from __future__ import annotations

import numpy as np

SMALLEST_SIDE_PX = 16
Size = tuple[int, int]


def check_sizes(left: Size, right: Size) -> None:
    """Raise ValueError unless both views, as (height, width), have one size of at least 16x16."""
    if left != right:
        raise ValueError(
            f"left and right must have one size: got {left[1]}x{left[0]} and {right[1]}x{right[0]}; "
            "rectify both to the same size"
        )
    if min(left) < SMALLEST_SIDE_PX:
        raise ValueError(f"images must be at least {SMALLEST_SIDE_PX} px each way: got {left[1]}x{left[0]}")


def check_pair(left: np.ndarray, right: np.ndarray) -> None:
    """Raise unless both views are (H, W, 3) uint8 of one size from 16x16 up."""
    for name, view in (("left", left), ("right", right)):
        if not isinstance(view, np.ndarray):
            raise TypeError(f"{name} must be a NumPy array, (H, W, 3) uint8 RGB: got {type(view).__name__}")
        if view.dtype != np.uint8:
            raise TypeError(f"{name} must be uint8 in 0..255: got {view.dtype}; scale and convert it first")
        if view.ndim != 3 or view.shape[2] != 3:
            raise ValueError(f"{name} must be (H, W, 3) RGB: got shape {view.shape}")
    check_sizes(left.shape[:2], right.shape[:2])
