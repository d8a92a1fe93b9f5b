"""Augmentation that keeps the stereo geometry valid."""

from __future__ import annotations

import numpy as np

Views = dict[str, np.ndarray]


def crop_pair(views: Views, size: tuple[int, int], rng: np.random.Generator | None = None) -> Views:
    """Cut the same window out of every view, which keeps the disparities.

    Args:
        views: (H, W, 3) arrays, all of one size.
        size: (height, width) of the window.
        rng: chooses the window; None: the centre.

    Returns:
        The windows by the same names, (height, width, 3).

    Raises:
        ValueError: the window does not fit.
    """
    height, width = next(iter(views.values())).shape[:2]
    if height < size[0] or width < size[1]:
        raise ValueError(
            f"a crop of {size[1]}x{size[0]} does not fit an image of {width}x{height}: choose a smaller size"
        )
    room = height - size[0], width - size[1]
    y, x = (side // 2 for side in room) if rng is None else (rng.integers(side + 1) for side in room)
    return {name: view[y : y + size[0], x : x + size[1]] for name, view in views.items()}


def mirror_pair(views: Views) -> Views:
    """Mirror every view and swap left with right, which gives a valid stereo pair with disparity >= 0 again."""
    swapped = {"left": "right", "right": "left"}
    result = {}
    for name in views:
        kind, _, side = name.rpartition("_")
        partner = f"{kind}_{swapped[side]}" if kind else swapped[side]
        result[name] = views[partner][:, ::-1]
    return result
