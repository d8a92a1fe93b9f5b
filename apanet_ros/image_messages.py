"""Image messages to pixels and back.

A sensor_msgs/Image is read and written as it travels, as CDR bytes: a message object costs a copy of the pixels on the
way in and one on the way out. A CompressedImage goes through apanet_core's codecs, a rare encoding through cv_bridge.
"""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from apanet_core.images import codecs, encodings
from apanet_core.images.encodings import RawImage

BYTES_PER_PX = 8  # of 16 bits and four channels, the most there is; rows may have padding, within reason

# Plain CDR of both versions, by its two bytes of encapsulation; an Image has no field that they align differently.
_BYTE_ORDER = {b"\x00\x01": "<", b"\x00\x00": ">", b"\x00\x07": "<", b"\x00\x06": ">"}
_ENCAPSULATION = b"\x00\x01\x00\x00"


@dataclass(frozen=True)
class SerializedImage(RawImage):
    """An image as it came; `header` is a std_msgs/Header, `serialized` the whole message."""

    header: Any
    serialized: bytes


@dataclass(frozen=True)
class ReceivedImage:
    """An image that came from a camera and was checked.

    Attributes:
        message: what came; an Image only where the middleware's bytes are not CDR.
        size: height and width in px.
    """

    message: SerializedImage | Image | CompressedImage
    size: tuple[int, int]

    @property
    def header(self) -> Any:
        """std_msgs/Header, by which message_filters knows the time of an image."""
        return self.message.header


def receive(message: bytes | CompressedImage, max_megapixels: float) -> ReceivedImage:
    """Read and check what a subscription got.

    Args:
        message: a serialized sensor_msgs/Image, or a CompressedImage.
        max_megapixels: the most a view may have.

    Returns:
        The image; its pixels are neither decoded nor copied yet.

    Raises:
        ValueError: as `read_image` and `checked_size`.
    """
    read = message if isinstance(message, CompressedImage) else read_image(message)
    return ReceivedImage(read, checked_size(read, max_megapixels))


def read_image(serialized: bytes) -> SerializedImage | Image:
    """Find the fields of a serialized sensor_msgs/Image.

    Args:
        serialized: as a raw subscription gets it.

    Returns:
        The image; its `data` is a view into `serialized`. An Image message where the middleware's bytes are not CDR.

    Raises:
        ValueError: the bytes end before the message does, or nothing can read them.
    """
    order = _BYTE_ORDER.get(bytes(serialized[:2]))
    if order is None:
        try:
            return deserialize_message(serialized, Image)
        except Exception as error:  # RMWError and others, by middleware
            raise ValueError(f"an Image message of {len(serialized)} bytes cannot be read: {error}") from error
    try:
        sec, nanosec = struct.unpack_from(f"{order}iI", serialized, 4)
        frame_id, position = _string(serialized, 12, order)
        height, width = struct.unpack_from(f"{order}II", serialized, position)
        encoding, position = _string(serialized, position + 8, order, aligned=False)
        is_bigendian = serialized[position]
        step, size = struct.unpack_from(f"{order}II", serialized, _aligned(position + 1))
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise ValueError(f"an Image message of {len(serialized)} bytes is broken or cut off: {error}") from error
    start = _aligned(position + 1) + 8
    if start + size > len(serialized):
        raise ValueError(f"an Image message announces {size} bytes of data, but ends after {len(serialized) - start}")
    data = memoryview(serialized)[start : start + size]
    header = Header(stamp=Time(sec=sec, nanosec=nanosec), frame_id=frame_id)
    return SerializedImage(encoding, height, width, step, is_bigendian, data, header, serialized)


def write_image(image: RawImage, header: Any) -> bytes:
    """Serialize a sensor_msgs/Image.

    Args:
        image: the pixels; rows without padding.
        header: std_msgs/Header.

    Returns:
        What a publisher publishes as it is. The pixels are copied once.
    """
    pixels = np.ascontiguousarray(image.data)
    parts = [_ENCAPSULATION, struct.pack("<iI", header.stamp.sec, header.stamp.nanosec), _packed(header.frame_id)]
    parts += [struct.pack("<II", image.height, image.width), _packed(image.encoding, aligned=False)]
    parts.append(struct.pack("<B", image.is_bigendian))
    parts.append(bytes(-sum(map(len, parts)) % 4))
    parts.append(struct.pack("<II", image.step, pixels.nbytes))
    return b"".join([*parts, pixels.reshape(-1).view(np.uint8).data])


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
        codecs.check_complete(message.data, codecs.codec_of(message))
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


def _string(serialized: bytes, position: int, order: str, aligned: bool = True) -> tuple[str, int]:
    """The string at `position`, and where the next field begins."""
    (length,) = struct.unpack_from(f"{order}I", serialized, position)
    end = position + 4 + length
    if end > len(serialized):
        raise IndexError("a string is longer than the message")
    text = bytes(serialized[position + 4 : end]).rstrip(b"\0").decode()
    return text, _aligned(end) if aligned else end


def _packed(text: str, aligned: bool = True) -> bytes:
    data = text.encode() + b"\0"
    packed = struct.pack("<I", len(data)) + data
    return packed + bytes(-len(packed) % 4) if aligned else packed


def _aligned(position: int) -> int:
    return position + -position % 4
