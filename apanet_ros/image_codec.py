"""sensor_msgs/Image to RGB arrays and back, with as few copies as the message allows."""

from __future__ import annotations

from array import array
from typing import Any

import cv2
import numpy as np

# encoding -> channels, conversion to RGB, conversion back
_ENCODINGS: dict[str, tuple[int, int | None, int | None]] = {
    "rgb8": (3, None, None),
    "bgr8": (3, cv2.COLOR_BGR2RGB, cv2.COLOR_RGB2BGR),
    "rgba8": (4, cv2.COLOR_RGBA2RGB, cv2.COLOR_RGB2RGBA),
    "bgra8": (4, cv2.COLOR_BGRA2RGB, cv2.COLOR_RGB2BGRA),
    "mono8": (1, cv2.COLOR_GRAY2RGB, cv2.COLOR_RGB2GRAY),
}
ENCODINGS = tuple(_ENCODINGS)


def view_of(message: Any) -> np.ndarray:
    """The pixels of an Image message where they lie: (H, W, C) uint8, rows `step` bytes apart, not copied.

    Args:
        message: sensor_msgs/Image.

    Returns:
        An array that shares the message's memory.

    Raises:
        ValueError: an unknown encoding, no pixels, or sizes that do not fit together.
    """
    if message.encoding not in _ENCODINGS:
        raise ValueError(f"encoding {message.encoding!r} is not supported: publish one of {', '.join(ENCODINGS)}")
    channels = _ENCODINGS[message.encoding][0]
    height, width, step = message.height, message.width, message.step
    if height == 0 or width == 0:
        raise ValueError(f"an image of {width}x{height} px has no pixels")
    if step < width * channels:
        raise ValueError(f"step is {step} bytes, but a row of {width} px {message.encoding} takes {width * channels}")
    data = np.frombuffer(message.data, np.uint8)
    if data.size < height * step:
        raise ValueError(f"data holds {data.size} bytes: height {height} x step {step} needs {height * step}")
    rows = data[: height * step].reshape(height, step)
    return rows[:, : width * channels].reshape(height, width, channels)


def decode(message: Any) -> np.ndarray:
    """Image message -> (H, W, 3) uint8 RGB; rgb8 is not copied.

    Args:
        message: sensor_msgs/Image.

    Returns:
        The RGB pixels.

    Raises:
        ValueError: as `view_of`.
    """
    pixels = view_of(message)
    code = _ENCODINGS[message.encoding][1]
    return pixels if code is None else cv2.cvtColor(pixels, code)


def encode(rgb: np.ndarray, source: Any) -> Any:
    """(H, W, 3) uint8 RGB -> an Image with the header and encoding of `source`, rows without padding.

    An alpha channel is taken over from `source`.
    """
    channels, _, code = _ENCODINGS[source.encoding]
    pixels = rgb if code is None else cv2.cvtColor(rgb, code)
    if channels == 4:
        pixels[..., 3] = view_of(source)[..., 3]
    message = type(source)()
    message.header = source.header
    message.height, message.width = rgb.shape[:2]
    message.encoding = source.encoding
    message.is_bigendian = source.is_bigendian
    message.step = rgb.shape[1] * channels
    data = array("B")
    data.frombytes(np.ascontiguousarray(pixels).data.cast("B"))
    message.data = data  # rclpy checks every element of anything but an array, which takes seconds
    return message
