"""Reading and writing image files as RGB arrays."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from apanet_core.atomic import write_bytes

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")


def list_images(folder: str | Path) -> list[Path]:
    """Image files directly in `folder`, sorted by name."""
    return sorted(
        p for p in Path(folder).iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".")
    )


def by_stem(paths: list[Path]) -> dict[str, Path]:
    """Files of one folder by name without suffix; ValueError where two share one."""
    stems = {path.stem: path for path in paths}
    if len(stems) < len(paths):
        twice = next(path for path in paths if stems[path.stem] != path)
        raise ValueError(f"{twice.parent} holds two files named {twice.stem!r}: which one counts is not clear")
    return stems


def read_image(path: str | Path) -> np.ndarray:
    """Read an image as (H, W, 3) uint8 RGB; grey becomes three equal channels, 16 bit becomes 8.

    Args:
        path: of a file that OpenCV reads.

    Returns:
        The pixels.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is not an image that OpenCV can read.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no image at {path}")
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"{path} is not a readable image (expected one of {', '.join(IMAGE_SUFFIXES)})")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def write_image(path: str | Path, image: np.ndarray) -> None:
    """Write (H, W, 3) uint8 RGB, or (H, W) uint8 grey, as the type that the suffix of `path` names, atomically.

    Args:
        path: its folder must exist.
        image: the pixels.

    Raises:
        OSError: the file cannot be written.
    """
    path = Path(path)
    done, encoded = cv2.imencode(path.suffix, image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if not done:
        raise OSError(f"cannot encode an image of shape {image.shape} as {path.suffix}")
    write_bytes(path, encoded.tobytes())
