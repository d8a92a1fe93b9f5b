"""rclpy's sensor_msgs/Image and CompressedImage around apanet_core's codecs, with as few copies as they allow."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
from sensor_msgs.msg import CompressedImage, Image

from apanet_core.runtime import compressed, encodings
from apanet_core.runtime.encodings import RawImage

decode, view_of, ENCODINGS = encodings.decode, encodings.view_of, encodings.ENCODINGS


def unpacked(message: Any) -> Any:
    """The message itself, or a `RawImage` of a CompressedImage or of an encoding that only cv_bridge reads.

    `decode` and `encode` take both; an encoding that nothing here reads is named by `decode`.
    """
    if isinstance(message, CompressedImage):
        return compressed.decompress(message)
    return message if message.encoding in ENCODINGS else _through_cv_bridge(message)


def _through_cv_bridge(message: Image) -> Any:
    try:
        from cv_bridge import CvBridge
    except ImportError:
        return message
    try:
        rgb = np.ascontiguousarray(CvBridge().imgmsg_to_cv2(message, "rgb8"))
    except Exception as error:  # cv_bridge raises its own, OpenCV's and TypeError
        raise ValueError(f"encoding {message.encoding!r}: cv_bridge cannot make rgb8 of it: {error}") from error
    return RawImage("rgb8", rgb.shape[0], rgb.shape[1], rgb.strides[0], 0, rgb)


def encode(rgb: np.ndarray, source: Any) -> Image:
    """Make the message that answers `source`.

    Args:
        rgb: (H, W, 3) uint8.
        source: sensor_msgs/Image whose header, encoding, byte order and alpha channel are taken over.

    Returns:
        An Image whose rows have no padding; rgb8 or rgb16 where `source` is in a camera's own encoding (Bayer, YUV).
    """
    return image_message(encodings.encode(rgb, source), source.header)


def image_message(image: RawImage, header: Any) -> Image:
    """An Image of these pixels."""
    message = Image(header=header, height=image.height, width=image.width, encoding=image.encoding, step=image.step)
    message.is_bigendian = image.is_bigendian
    message.data = _byte_array(np.ascontiguousarray(image.data).data)
    return message


def compressed_message(image: RawImage, source: Any, jpeg_quality: int) -> CompressedImage:
    """A CompressedImage of these pixels.

    Args:
        image: as `apanet_core.runtime.encodings.encode` returns it.
        source: the Image or CompressedImage that it answers; codec and format are those of a compressed one.
        jpeg_quality: 1 to 100.

    Returns:
        The message, with the header of `source`.
    """
    if isinstance(source, CompressedImage):
        codec, name = compressed.codec_of(source), source.format
    else:
        codec, name = compressed.codec_and_format(image)
    message = CompressedImage(header=source.header, format=name)
    message.data = _byte_array(memoryview(compressed.compress(image, codec, jpeg_quality)))
    return message


def _byte_array(data: memoryview) -> array[int]:
    """The bytes as an array: rclpy checks every element of anything else, which takes seconds."""
    result = array("B")
    result.frombytes(data.cast("B"))
    return result
