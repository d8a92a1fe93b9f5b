"""Read and write image files as RGB arrays."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np

from apanet_core.atomic import write_bytes
from apanet_core.images.codecs import decode_file

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")


def list_images(folder: str | Path) -> list[Path]:
    """Return the image files directly in `folder`, sorted by name."""
    return sorted(p for p in Path(folder).iterdir() if _is_image(p))


def images_in(folder: str | Path) -> list[Path]:
    """Return `list_images` of a folder; raise FileNotFoundError if it holds none."""
    files = list_images(folder)
    if not files:
        raise FileNotFoundError(f"no images in {folder}")
    return files


def find_images(folder: str | Path) -> list[Path]:
    """Return the image files anywhere below `folder`, sorted; links are followed, hidden files and folders skipped."""
    found, visited = [], set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in visited:  # a link to a folder above
            folders.clear()
            continue
        visited.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [path for name in files if _is_image(path := Path(parent, name))]
    return sorted(found)


def _is_image(path: Path) -> bool:
    """Return whether the suffix is an image's; hidden files do not count: some systems leave files like ._x.png."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def by_stem(paths: list[Path]) -> dict[str, Path]:
    """Return the files of one folder by name without suffix; raise ValueError if two share one."""
    stems = {path.stem: path for path in paths}
    if len(stems) < len(paths):
        twice = next(path for path in paths if stems[path.stem] != path)
        raise ValueError(f"{twice.parent} holds two files named {twice.stem!r}: which one counts is not clear")
    return stems


def read_image(path: str | Path) -> np.ndarray:
    """Read an image as (H, W, 3) uint8 RGB, without applying the rotation that EXIF names.

    A grey image gets three equal channels, 16 bits become the upper 8, an alpha channel is dropped.

    Args:
        path: a file that OpenCV reads.

    Returns:
        The pixels.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is damaged, too large, or not an image that OpenCV reads; the message names the file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no image at {path}")
    try:
        image = decode_file(Path(path).read_bytes())  # not cv2.imread: names need not be UTF-8
    except ValueError as error:
        types = ", ".join(IMAGE_SUFFIXES)
        raise ValueError(f"{path} is not a readable image (expected one of {types}): {error}") from error
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    if image.dtype != np.uint8:
        raise ValueError(f"{path}: expected 8 or 16 bits, got {image.dtype}")
    channels = 1 if image.ndim == 2 else image.shape[2]
    return cv2.cvtColor(image, {1: cv2.COLOR_GRAY2RGB, 3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGB}[channels])


def write_image(path: str | Path, image: np.ndarray) -> None:
    """Write (H, W, 3) uint8 RGB or (H, W) uint8 grey atomically, in the format that the suffix names.

    Args:
        path: file in an existing folder.
        image: the pixels.

    Raises:
        OSError: the file cannot be written.
    """
    path = Path(path)
    done, encoded = cv2.imencode(path.suffix, image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if not done:
        raise OSError(f"cannot encode an image of shape {image.shape} as {path.suffix}")
    write_bytes(path, encoded.tobytes())
