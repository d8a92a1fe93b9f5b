"""Derain a large image in bands of rows, so that it needs less memory.

Rows stay whole, so that parallax attention finds every match inside a band.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Pair = tuple[np.ndarray, np.ndarray]


def tile_starts(height: int, tile: int, overlap: int) -> list[int]:
    """First row of every band of `tile` rows; neighbours share at least `overlap` rows, the last ends at the bottom."""
    return [*range(0, height - tile, tile - overlap), height - tile]


def derain_tiled(run: Callable[[np.ndarray, np.ndarray], Pair], views: Pair, tile: int, overlap: int) -> Pair:
    """Apply `run` band by band and blend where bands overlap.

    Args:
        run: derains (h, W, 3) uint8 views.
        views: left and right, (H, W, 3) uint8.
        tile: rows of a band, less than H.
        overlap: rows that neighbours share at least; their weights rise and fall linearly there.

    Returns:
        Left and right, (H, W, 3) uint8.
    """
    height = views[0].shape[0]
    rows = np.arange(tile, dtype=np.float32)
    # no band weighs nothing anywhere, so that without overlap every row has its one band
    weight = np.minimum(np.minimum(rows + 1, tile - rows) / (overlap + 1), 1)[:, None, None]
    total = np.zeros((height, 1, 1), np.float32)
    sums = tuple(np.zeros(view.shape, np.float32) for view in views)
    for top in tile_starts(height, tile, overlap):
        band = slice(top, top + tile)
        total[band] += weight
        for result, derained in zip(sums, run(views[0][band], views[1][band])):
            result[band] += weight * derained
    left, right = (np.rint(result / total).astype(np.uint8) for result in sums)
    return left, right
