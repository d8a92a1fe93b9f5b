"""sensor_msgs/Image as it travels: its CDR bytes, read and written without a Python message in between.

A message object costs a copy of the pixels on the way in and one on the way out. Here the pixels of an image stay where
the middleware put them, and are copied once when the answer is written.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from apanet_core.images.encodings import RawImage

# Plain CDR of both versions, by its two bytes of encapsulation; an Image has no field that they align differently.
_BYTE_ORDER = {b"\x00\x01": "<", b"\x00\x00": ">", b"\x00\x07": "<", b"\x00\x06": ">"}
_ENCAPSULATION = b"\x00\x01\x00\x00"


@dataclass(frozen=True)
class SerializedImage(RawImage):
    """An image as it came; `header` is a std_msgs/Header, `serialized` the whole message."""

    header: Any
    serialized: bytes


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
