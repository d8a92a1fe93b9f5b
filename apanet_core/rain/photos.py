"""Photographs to cut scenes from, divided between training and validation."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import cv2
import numpy as np

from apanet_core.images.files import IMAGE_SUFFIXES, find_images, read_image

LONGEST_SIDE_PX = 1600


def read_photos(folders: list[Path], validation: bool = False, held_out: int = 12) -> list[np.ndarray]:
    """Read photographs for training or validation; those larger than `LONGEST_SIDE_PX` are scaled down.

    Args:
        folders: searched recursively for image files; copies of a file count once.
        validation: read the held-out photographs instead of the others.
        held_out: every `held_out`-th photograph goes to validation.

    Returns:
        (H, W, 3) uint8 RGB each.

    Raises:
        FileNotFoundError: no photograph was found.
    """
    for folder in folders:
        if not folder.is_dir():
            raise FileNotFoundError(f"no folder of photographs at {folder}")
    # in the order of the folders, not of their names: a folder that was moved leaves every photograph in its split
    paths = _distinct([path for folder in folders for path in find_images(folder)])
    chosen = [p for number, p in enumerate(paths) if (number % held_out == 0) == validation]
    if not chosen:
        raise FileNotFoundError(
            f"expected at least 2 photographs ({', '.join(IMAGE_SUFFIXES)}), one of them for validation, under "
            f"{', '.join(map(str, folders))}: found {len(paths)}"
        )
    return [_smaller(read_image(path)) for path in chosen]


def _distinct(paths: list[Path]) -> list[Path]:
    """Leave out copies of earlier files, which could end up in both splits."""
    sizes = [path.stat().st_size for path in paths]
    shared = {size for size, count in Counter(sizes).items() if count > 1}  # only these files can be copies
    contents: dict[int | bytes, Path] = {}
    for path, size in zip(paths, sizes):
        contents.setdefault(hashlib.sha256(path.read_bytes()).digest() if size in shared else size, path)
    return list(contents.values())


def _smaller(photo: np.ndarray) -> np.ndarray:
    """Scale a photograph down: a thousand from a phone would take 36 GB, and scenes do not show the full detail."""
    scale = LONGEST_SIDE_PX / max(photo.shape)
    if scale >= 1:
        return photo
    height, width = (max(1, round(scale * side)) for side in photo.shape[:2])
    return cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA)
