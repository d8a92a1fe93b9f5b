"""Which sizes of images can be derained."""

from __future__ import annotations

SMALLEST_SIDE_PX = 16
Size = tuple[int, int]


def check_sizes(left: Size, right: Size) -> None:
    """Raise ValueError unless both views, as (height, width), are of one size from 16x16 up."""
    if left != right:
        raise ValueError(
            f"left and right must have one size: got {left[1]}x{left[0]} and {right[1]}x{right[0]}; "
            "rectify both to the same size"
        )
    if min(left) < SMALLEST_SIDE_PX:
        raise ValueError(f"images must be at least {SMALLEST_SIDE_PX} px each way: got {left[1]}x{left[0]}")
