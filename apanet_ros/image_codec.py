"""sensor_msgs/Image to RGB arrays and back, with as few copies as the message allows."""

from __future__ import annotations

from array import array
from typing import Any

import cv2
import numpy as np

# encoding -> bytes per pixel, conversion to RGB, conversion back
_OWN: dict[str, tuple[int, int | None, int | None]] = {
    "rgb8": (3, None, None),
    "bgr8": (3, cv2.COLOR_BGR2RGB, cv2.COLOR_RGB2BGR),
    "rgba8": (4, cv2.COLOR_RGBA2RGB, cv2.COLOR_RGB2RGBA),
    "bgra8": (4, cv2.COLOR_BGRA2RGB, cv2.COLOR_RGB2BGRA),
    "mono8": (1, cv2.COLOR_GRAY2RGB, cv2.COLOR_RGB2GRAY),
}
# encoding -> bytes per pixel; read by cv_bridge, or rosbags-image where that is not installed, and published as rgb8
_FOREIGN = {
    **dict.fromkeys(("bayer_rggb8", "bayer_bggr8", "bayer_gbrg8", "bayer_grbg8"), 1),
    **dict.fromkeys(("yuv422", "yuv422_yuy2"), 2),
}
ENCODINGS = (*_OWN, *_FOREIGN)


def view_of(message: Any) -> np.ndarray:
    """The pixels of an Image message where they lie: (H, W, C) uint8, rows `step` bytes apart, not copied.

    Args:
        message: sensor_msgs/Image.

    Returns:
        An array that shares the message's memory.

    Raises:
        ValueError: an unknown encoding, no pixels, or sizes that do not fit together.
    """
    encoding, height, width, step = message.encoding, message.height, message.width, message.step
    if encoding not in ENCODINGS:
        raise ValueError(f"encoding {encoding!r} is not supported: publish one of {', '.join(ENCODINGS)}")
    channels = _OWN[encoding][0] if encoding in _OWN else _FOREIGN[encoding]
    if height == 0 or width == 0:
        raise ValueError(f"an image of {width}x{height} px has no pixels")
    if step < width * channels:
        raise ValueError(f"step is {step} bytes, but a row of {width} px {encoding} takes {width * channels}")
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
    if message.encoding in _FOREIGN:
        return _decode_foreign(message, pixels)
    code = _OWN[message.encoding][1]
    return pixels if code is None else cv2.cvtColor(pixels, code)


def encode(rgb: np.ndarray, source: Any) -> Any:
    """Make the message that answers `source`.

    Args:
        rgb: (H, W, 3) uint8.
        source: sensor_msgs/Image whose header, encoding and alpha channel are taken over.

    Returns:
        An Image whose rows have no padding; rgb8 where the encoding of `source` is a camera's raw one (Bayer, YUV).
    """
    encoding = source.encoding if source.encoding in _OWN else "rgb8"
    channels, _, code = _OWN[encoding]
    pixels = rgb if code is None else cv2.cvtColor(rgb, code)
    if channels == 4:
        pixels[..., 3] = view_of(source)[..., 3]
    message = type(source)()
    message.header = source.header
    message.height, message.width = rgb.shape[:2]
    message.encoding = encoding
    message.is_bigendian = source.is_bigendian
    message.step = rgb.shape[1] * channels
    message.data = _byte_array(pixels)
    return message


def _decode_foreign(message: Any, pixels: np.ndarray) -> np.ndarray:
    try:
        from cv_bridge import CvBridge
    except ImportError:
        from rosbags.image import message_to_cvimage

        packed = type(message)(height=message.height, width=message.width, encoding=message.encoding)
        packed.data = _byte_array(pixels)  # rosbags-image knows no padding
        return np.asarray(message_to_cvimage(packed, "rgb8"))
    return np.asarray(CvBridge().imgmsg_to_cv2(message, "rgb8"))


def _byte_array(pixels: np.ndarray) -> array[int]:
    """The bytes as an array: rclpy checks every element of anything else, which takes seconds."""
    data = array("B")
    data.frombytes(np.ascontiguousarray(pixels).data.cast("B"))
    return data
