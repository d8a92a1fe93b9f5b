"""Disparity maps: read them, fill unknown pixels, and warp a map to the other view.

Convention: disparity in px, >= 0, ``x_right = x_left - disparity``; not finite where unknown.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from apanet_core.images.codecs import decode_file
from apanet_core.images.files import by_stem

DISPARITY_SUFFIXES = (".png", ".npy", ".pfm")
KITTI_SCALE = 256.0  # grey levels per px


def read_disparity(path: str | Path, scale: float | None = None) -> np.ndarray:
    """Read a disparity map of the left view.

    Args:
        path: a PNG (px times `scale`, 0 unknown), or an .npy or .pfm in px, where negative or not finite is unknown.
        scale: grey levels per px of a PNG; None: KITTI's 256, for PNG of 16 bits only.

    Returns:
        (H, W) float32 px, NaN where unknown.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is not a disparity map in one of these formats.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no disparity map at {path}")
    if path.suffix.lower() not in DISPARITY_SUFFIXES:
        raise ValueError(f"disparity maps are {', '.join(DISPARITY_SUFFIXES)}: got {path}")
    if path.suffix.lower() == ".npy":
        try:
            values = np.load(path, allow_pickle=False)
        except (EOFError, ValueError) as error:
            raise ValueError(f"{path} is empty, cut off or no array: {error}") from error
    else:
        try:
            values = decode_file(path.read_bytes())
        except ValueError as error:
            raise ValueError(f"{path} is no readable image: {error}") from error
    if path.suffix.lower() == ".pfm":
        # the header's last number is a scale whose sign gives the byte order; OpenCV divides by the scale
        values = values * abs(float(path.read_bytes()[:128].split()[3]))
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiu":
        raise ValueError(f"a disparity map is one array of real numbers: {path} holds {_content(values)}")
    if values.ndim != 2:
        raise ValueError(f"a disparity map has one channel, (H, W): {path} is an array of shape {values.shape}")
    if np.any(values < 0) and not np.any(values > 0):
        raise ValueError(f"disparities are positive, x_left - x_right: all of {path} are negative; change their sign")
    if path.suffix.lower() == ".png":
        if scale is None and values.dtype != np.uint16:
            raise ValueError(
                f"a disparity PNG has 16 bits, px times 256, 0 unknown: {path} is {values.dtype}; give its grey levels "
                "per px as --disparity_scale"
            )
        return np.where(values > 0, values / np.float32(scale or KITTI_SCALE), np.nan).astype(np.float32)
    return np.where(np.isfinite(values) & (values >= 0), values, np.nan).astype(np.float32)


def _content(values: Any) -> str:
    return f"values of type {values.dtype}" if isinstance(values, np.ndarray) else "several arrays, as .npz does"


def find_disparities(folder: Path) -> dict[str, Path]:
    """List the disparity maps of a folder.

    Args:
        folder: folder with files that `read_disparity` reads.

    Returns:
        Files by name without suffix.

    Raises:
        FileNotFoundError: the folder does not exist or holds no map.
        ValueError: two files with one name.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder of disparities at {folder}")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in DISPARITY_SUFFIXES)
    if not files:
        raise FileNotFoundError(f"no disparity maps ({', '.join(DISPARITY_SUFFIXES)}) in {folder}")
    return by_stem(files)


def disparity_of(files: dict[str, Path], *names: str) -> Path | None:
    """Return the map named as one of `names`, or as its part before an underscore; the longest name wins."""
    stems = [stem for stem in files if any(name == stem or name.startswith(f"{stem}_") for name in names)]
    return files[max(stems, key=len)] if stems else None


def fill_unknown(disparity: np.ndarray) -> np.ndarray:
    """Fill every unknown pixel with the smaller of its known neighbours in the row: hidden surfaces are background.

    Args:
        disparity: (H, W) float, not finite where unknown.

    Returns:
        (H, W) float32, finite; rows without any known pixel get the smallest value of the map, or 0.
    """
    known = np.isfinite(disparity)
    if not known.any():
        return np.zeros(disparity.shape, np.float32)
    columns = np.arange(disparity.shape[1])
    before = np.maximum.accumulate(np.where(known, columns, -1), axis=1)
    after = np.minimum.accumulate(np.where(known, columns, columns.size)[:, ::-1], axis=1)[:, ::-1]
    rows = np.arange(disparity.shape[0])[:, None]
    padded = np.pad(np.where(known, disparity, np.inf), ((0, 0), (1, 1)), constant_values=np.inf)
    filled = np.minimum(padded[rows, before + 1], padded[rows, after + 1])
    return np.where(np.isfinite(filled), filled, disparity[known].min()).astype(np.float32)


def to_right_view(left_disparity: np.ndarray) -> np.ndarray:
    """Return the disparity of the right view for that of the left one; the nearest surface wins.

    Args:
        left_disparity: (H, W) px of the left view, finite.

    Returns:
        (H, W) float32 px of the right view; points that only the right camera sees are filled from the background.
    """
    height, width = left_disparity.shape
    left_disparity = left_disparity.astype(np.float32)
    target = np.arange(1, width + 1, dtype=np.float32) - left_disparity
    views = []
    for column in (np.floor(target), np.ceil(target)):
        # Of the left pixels that land on one column, the rightmost has the largest disparity, and NumPy keeps the last.
        view = np.full((height, width + 2), -np.inf, np.float32)  # the outer columns take pixels that fall outside
        view[np.arange(height)[:, None], np.clip(column, 0, width + 1).astype(np.intp)] = left_disparity
        views.append(view[:, 1:-1])
    right = np.maximum(*views)
    return fill_unknown(np.where(np.isfinite(right), right, np.nan))
