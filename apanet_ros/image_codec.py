"""CompressedImage and cv_bridge around apanet_core's codecs."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
from sensor_msgs.msg import CompressedImage

from apanet_core.images import codecs, encodings
from apanet_core.images.encodings import RawImage

BYTES_PER_PX = 8  # of 16 bits and four channels, the most there is; rows may have padding, within reason


def checked_size(message: Any, max_megapixels: float) -> tuple[int, int]:
    """Check what an image claims to be before anything is allocated for it.

    Args:
        message: Image or CompressedImage.
        max_megapixels: the most a view may have.

    Returns:
        Height and width in px.

    Raises:
        ValueError: a size above the limit, fields and data that do not fit together, or an encoding that nothing reads.
    """
    is_compressed = isinstance(message, CompressedImage)
    height, width = codecs.size_of(message) if is_compressed else (message.height, message.width)
    if height * width > 1e6 * max_megapixels:
        raise ValueError(
            f"expected at most {max_megapixels:g} megapixels, got {width}x{height}, which is "
            f"{height * width / 1e6:.1f}: publish smaller images, or raise max_megapixels"
        )
    if len(message.data) > 1e6 * max_megapixels * BYTES_PER_PX:
        raise ValueError(
            f"expected at most {max_megapixels * BYTES_PER_PX:g} MB, {BYTES_PER_PX} for each of max_megapixels, got "
            f"{len(message.data) / 1e6:.1f} MB for {width}x{height} px: publish rows with less padding"
        )
    if is_compressed:
        codecs.check_complete(message)
    elif message.encoding in encodings.ENCODINGS:
        encodings.view_of(message)
    else:
        _check_for_cv_bridge(message)
    return height, width


def _check_for_cv_bridge(message: Any) -> None:
    """As `encodings.view_of` checks, for an encoding that only cv_bridge may read."""
    try:
        from cv_bridge import CvBridge

        dtype, channels = CvBridge().encoding_to_dtype_with_channels(message.encoding)
    except Exception as error:  # not installed, or its own for a name that it does not know
        raise encodings.unsupported(message.encoding) from error
    encodings.check_rows(message, message.height, message.width * channels * np.dtype(dtype).itemsize)


def decode_message(message: Any) -> Any:
    """The message itself, or a `RawImage` of a CompressedImage or of an encoding that only cv_bridge reads.

    `decode` and `encode` take both; an encoding that nothing here reads is named by `decode`.
    """
    if isinstance(message, CompressedImage):
        return codecs.decompress(message)
    return message if message.encoding in encodings.ENCODINGS else _through_cv_bridge(message)


def _through_cv_bridge(message: Any) -> Any:
    try:
        from cv_bridge import CvBridge
    except ImportError:
        return message
    try:
        rgb = np.ascontiguousarray(CvBridge().imgmsg_to_cv2(message, "rgb8"))
    except Exception as error:  # cv_bridge raises its own, OpenCV's and TypeError
        raise ValueError(f"encoding {message.encoding!r}: cv_bridge cannot make rgb8 of it: {error}") from error
    return RawImage("rgb8", rgb.shape[0], rgb.shape[1], rgb.strides[0], 0, rgb)


def compressed_message(image: RawImage, source: Any, jpeg_quality: int) -> CompressedImage:
    """A CompressedImage of these pixels.

    Args:
        image: as `apanet_core.images.encodings.encode` returns it.
        source: the Image or CompressedImage that it answers; codec and format are those of a compressed one.
        jpeg_quality: 1 to 100.

    Returns:
        The message, with the header of `source`.
    """
    if isinstance(source, CompressedImage):
        codec, name = codecs.codec_of(source), source.format
    else:
        codec, name = codecs.codec_and_format(image)
    message = CompressedImage(header=source.header, format=name)
    # rclpy checks every element of anything but an array, which takes seconds
    message.data = array("B", codecs.compress(image, codec, jpeg_quality))
    return message
