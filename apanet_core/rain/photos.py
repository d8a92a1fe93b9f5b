"""Photographs to cut scenes from, divided between training and validation."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from apanet_core.images.files import IMAGE_SUFFIXES, find_images, read_image


def read_photos(folders: list[Path], validation: bool = False, held_out: int = 12) -> list[np.ndarray]:
    """Read photographs for training or validation.

    Args:
        folders: searched recursively for image files.
        validation: read the held-out ones in place of the rest.
        held_out: every `held_out`-th photograph goes to validation.

    Returns:
        (H, W, 3) uint8 RGB each.

    Raises:
        FileNotFoundError: none found.
    """
    paths = sorted(path for folder in folders for path in find_images(folder))
    chosen = [p for number, p in enumerate(paths) if (number % held_out == 0) == validation]
    if not chosen:
        raise FileNotFoundError(
            f"expected at least 2 photographs ({', '.join(IMAGE_SUFFIXES)}), one of them for validation, under "
            f"{', '.join(map(str, folders))}: found {len(paths)}"
        )
    return [read_image(p) for p in chosen]
