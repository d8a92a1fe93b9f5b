"""Convert image messages to pixels and back.

A sensor_msgs/Image is read and written as serialized CDR bytes, since a message object would copy the pixels twice.
apanet_core's codecs decode a CompressedImage; cv_bridge decodes encodings that apanet_core does not support.
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

BYTES_PER_PX = 8  # 4 channels of 16 bits, the largest encoding; this also limits row padding

# Encapsulation bytes of plain CDR, versions 1 and 2 -> byte order; both versions align the fields of Image alike.
_BYTE_ORDER = {b"\x00\x01": "<", b"\x00\x00": ">", b"\x00\x07": "<", b"\x00\x06": ">"}
_ENCAPSULATION = b"\x00\x01\x00\x00"


@dataclass(frozen=True)
class SerializedImage(RawImage):
    """A received Image; `header` is a std_msgs/Header, `serialized` the whole message."""

    header: Any
    serialized: bytes


@dataclass(frozen=True)
class ReceivedImage:
    """A checked image from a camera.

    Attributes:
        message: the received message; an Image only if the middleware does not serialize to CDR.
        size: height and width in px.
    """

    message: SerializedImage | Image | CompressedImage
    size: tuple[int, int]

    @property
    def header(self) -> Any:
        """The std_msgs/Header, which message_filters reads for the stamp."""
        return self.message.header


def receive(message: bytes | CompressedImage, max_megapixels: float) -> ReceivedImage:
    """Read and check a message from a subscription.

    Args:
        message: a serialized sensor_msgs/Image, or a CompressedImage.
        max_megapixels: largest accepted image size in megapixels.

    Returns:
        The image; its pixels are neither decoded nor copied yet.

    Raises:
        ValueError: `read_image` or `checked_size` refuses the message.
    """
    read = message if isinstance(message, CompressedImage) else read_image(message)
    return ReceivedImage(read, checked_size(read, max_megapixels))


def read_image(serialized: bytes) -> SerializedImage | Image:
    """Find the fields of a serialized sensor_msgs/Image.

    Args:
        serialized: the serialized message from a raw subscription.

    Returns:
        The image, whose `data` is a view into `serialized`; an Image message if the bytes are not CDR.

    Raises:
        ValueError: the bytes are cut off or not a serialized Image.
    """
    order = _BYTE_ORDER.get(bytes(serialized[:2]))
    if order is None:
        try:
            return deserialize_message(serialized, Image)
        except Exception as error:  # RMWError or another type, depending on the middleware
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
        The serialized message, which a publisher accepts. The pixels are copied once.
    """
    pixels = np.ascontiguousarray(image.data)
    parts = [_ENCAPSULATION, struct.pack("<iI", header.stamp.sec, header.stamp.nanosec), _packed(header.frame_id)]
    parts += [struct.pack("<II", image.height, image.width), _packed(image.encoding, aligned=False)]
    parts.append(struct.pack("<B", image.is_bigendian))
    parts.append(bytes(-sum(map(len, parts)) % 4))
    parts.append(struct.pack("<II", image.step, pixels.nbytes))
    return b"".join([*parts, pixels.reshape(-1).view(np.uint8).data])


def checked_size(message: Any, max_megapixels: float) -> tuple[int, int]:
    """Check the size, encoding and data length of an image before any allocation for its pixels.

    Args:
        message: Image, CompressedImage or `SerializedImage`.
        max_megapixels: largest accepted image size in megapixels.

    Returns:
        Height and width in px.

    Raises:
        ValueError: the image exceeds the limit, its fields contradict its data, or its encoding is not supported.
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
    """Check the encoding and the data length of an image that only cv_bridge may decode."""
    try:
        from cv_bridge import CvBridge

        dtype, channels = CvBridge().encoding_to_dtype_with_channels(message.encoding)
    except Exception as error:  # not installed, or an exception of cv_bridge for an unknown name
        raise encodings.unsupported(message.encoding) from error
    encodings.check_rows(message, message.height, message.width * channels * np.dtype(dtype).itemsize)


def decode_message(message: Any) -> Any:
    """Return an image that `encodings.decode` and `encodings.encode` accept.

    This is the message itself, or a `RawImage` of a CompressedImage or of an encoding that only cv_bridge supports.
    A message with an unsupported encoding is returned unchanged: `decode` then raises an error that names it.
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
    except Exception as error:  # CvBridgeError, cv2.error or TypeError
        raise ValueError(f"encoding {message.encoding!r}: cv_bridge cannot make rgb8 of it: {error}") from error
    return RawImage("rgb8", rgb.shape[0], rgb.shape[1], rgb.strides[0], 0, rgb)


def compressed_message(image: RawImage, source: Any, jpeg_quality: int) -> CompressedImage:
    """Compress an image to a CompressedImage.

    Args:
        image: the pixels, from `apanet_core.images.encodings.encode`.
        source: the received Image or CompressedImage; the result has the codec and format of a CompressedImage.
        jpeg_quality: JPEG quality, 1 to 100.

    Returns:
        The message, with the header of `source`.
    """
    if isinstance(source, CompressedImage):
        codec, name = codecs.codec_of(source), source.format
    else:
        codec, name = codecs.codec_and_format(image)
    message = CompressedImage(header=source.header, format=name)
    # rclpy checks each element of any other type, which takes seconds
    message.data = array("B", codecs.compress(image, codec, jpeg_quality))
    return message


def _string(serialized: bytes, position: int, order: str, aligned: bool = True) -> tuple[str, int]:
    """Return the string at `position`, and the position of the next field."""
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
