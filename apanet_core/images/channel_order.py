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


def in_one_order(*images: np.ndarray) -> list[np.ndarray]:
    """Return (H, W, 3) uint8 RGB images with equal channel order: BGR where all are stored so, else RGB."""
    if all(map(is_stored_as_bgr, images)):
        return [image[..., ::-1] for image in images]
    return [contiguous(image) for image in images]
