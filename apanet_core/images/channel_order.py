"""RGB images in memory that OpenCV filled as BGR: `bgr[..., ::-1]` shows it as RGB without a copy."""

from __future__ import annotations

import cv2
import numpy as np


def is_stored_as_bgr(image: np.ndarray) -> bool:
    """Return whether (H, W, 3) RGB pixels are a reversed view of BGR memory."""
    return bool(image.strides[2] < 0)


def contiguous(image: np.ndarray) -> np.ndarray:
    """Return (H, W, 3) uint8 RGB pixels in C order, copied if need be; fast for a reversed view of BGR memory."""
    if is_stored_as_bgr(image):
        return cv2.cvtColor(image[..., ::-1], cv2.COLOR_BGR2RGB)  # NumPy takes fifty times as long
    return np.ascontiguousarray(image)


def as_stored(image: np.ndarray) -> np.ndarray:
    """Return (H, W, 3) pixels in the order of their memory: BGR for a reversed view of it, else as they are."""
    return image[..., ::-1] if is_stored_as_bgr(image) else image


def in_one_order(*images: np.ndarray) -> list[np.ndarray]:
    """Return (H, W, 3) uint8 RGB images with equal channel order, copied only if their memory has two orders."""
    if len({is_stored_as_bgr(image) for image in images}) == 1:
        return [as_stored(image) for image in images]
    return [contiguous(image) for image in images]


def to_bgr_memory(image: np.ndarray) -> np.ndarray:
    """Return (H, W, 3) uint8 RGB pixels as a reversed view of BGR memory."""
    return image if is_stored_as_bgr(image) else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)[..., ::-1]
