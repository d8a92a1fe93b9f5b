"""JPEG and PNG: check that data are complete, decode them, and convert CompressedImage as image_transport does."""

from __future__ import annotations

import struct
from typing import Any

import cv2
import numpy as np

from apanet_core.images.encodings import RawImage

_ENDS = {"jpeg": b"\xff\xd9", "png": b"IEND\xaeB`\x82"}
_STARTS = {"jpeg": b"\xff\xd8", "png": b"\x89PNG"}
_TRAILING = 256  # bytes that cameras may append, in addition to zeros
_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers whose segment begins with precision, height, width
_JPEG_BARE = {0x01, *range(0xD0, 0xD9)}  # markers without a segment
_TO_BGR: dict[str, int | None] = {
    "rgb": cv2.COLOR_RGB2BGR,
    "bgr": None,
    "rgba": cv2.COLOR_RGBA2BGRA,
    "bgra": None,
    "mono": None,
}


def decompress(message: Any) -> RawImage:
    """Decode a CompressedImage, into the encoding that its format names if there is one.

    Args:
        message: sensor_msgs/CompressedImage, of rclpy or rosbags, JPEG or PNG.

    Returns:
        Pixels in mono, rgb(a) or bgr(a) with 8 or 16 bits.

    Raises:
        ValueError: another codec, a Bayer mosaic, or truncated or damaged data.
    """
    codec = codec_of(message)
    pixels = decode_file(bytes(message.data))
    if pixels.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"expected 8 or 16 bits, got a {codec} image of {pixels.dtype}")
    height, width = pixels.shape[:2]
    pixels = pixels.reshape(height, width, -1)
    bits = 8 * pixels.itemsize
    named = message.format.partition(";")[0].strip()
    if named.startswith("bayer_") and pixels.shape[2] == 1:
        raise ValueError(
            f"expected grey or colour, got a compressed mosaic (format {message.format!r}): "
            "let the driver compress colour, or take its raw images"
        )
    encoding = {1: "mono", 3: "bgr", 4: "bgra"}[pixels.shape[2]] + str(bits)
    if named in (f"rgb{bits}", f"rgba{bits}") and pixels.shape[2] > 1:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB if pixels.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)
        encoding = encoding.replace("bgr", "rgb")
    return RawImage(encoding, height, width, pixels.strides[0], 0, pixels)


def decode_file(data: bytes) -> np.ndarray:
    """Decode an image file without applying the rotation that EXIF names.

    Args:
        data: content of a JPEG or PNG file, or of another type that OpenCV reads.

    Returns:
        (H, W) or (H, W, C) in OpenCV's channel order, with the bit depth of the file.

    Raises:
        ValueError: the file is truncated, damaged, larger than OpenCV accepts, or not an image.
    """
    codec = next((codec for codec, start in _STARTS.items() if data.startswith(start)), None)
    if codec is not None:
        check_complete(data, codec)
    if codec == "jpeg" and (pixels := _decode_jpeg(data)) is not None:
        return pixels
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:  # more pixels than OPENCV_IO_MAX_IMAGE_PIXELS, or no bytes
        size = _png_size(memoryview(data)) if codec == "png" else None
        of_size = "" if size is None else f" of {size[1]}x{size[0]} px"
        raise ValueError(f"OpenCV does not take this image{of_size}: {' '.join(str(error).split())}") from error
    if pixels is None:
        raise ValueError(
            f"the {codec} image of {len(data)} bytes is damaged"
            if codec
            else f"expected an image that OpenCV reads: got {len(data)} bytes of something else"
        )
    return pixels


def _decode_jpeg(data: bytes) -> np.ndarray | None:
    """Decode with simplejpeg, which reports damaged data; OpenCV and Pillow would fill the gap with grey.

    Return None for colours other than grey and YCbCr, or if the package is not installed.
    """
    try:
        import simplejpeg
    except ImportError:
        return None
    try:
        colours = simplejpeg.decode_jpeg_header(data, strict=True)[2]
        if colours not in ("Gray", "YCbCr"):
            return None
        return simplejpeg.decode_jpeg(data, "GRAY" if colours == "Gray" else "BGR", strict=True)
    except ValueError as error:
        raise ValueError(f"the jpeg image of {len(data)} bytes is damaged: {error}") from error


def check_complete(data: Any, codec: str) -> None:
    """Raise ValueError if the end of a "jpeg" or "png" file is missing; zeros after the end are accepted."""
    content = bytes(data).rstrip(b"\0")
    if _ENDS[codec].rstrip(b"\0") not in content[-_TRAILING:]:
        raise ValueError(f"the {codec} image of {len(data)} bytes is cut off: its end is missing")


def size_of(message: Any) -> tuple[int, int]:
    """Return the size in the header without decoding: a few bytes may declare gigabytes of pixels.

    Args:
        message: sensor_msgs/CompressedImage, of rclpy or rosbags, JPEG or PNG.

    Returns:
        Height and width in px, which the decoder would allocate.

    Raises:
        ValueError: another codec, or a header without a size.
    """
    codec, data = codec_of(message), memoryview(message.data).cast("B")
    size = _png_size(data) if codec == "png" else _jpeg_size(data)
    if size is None or 0 in size:
        raise ValueError(f"the {codec} image of {len(data)} bytes is damaged: no size in its header")
    return size


def _png_size(data: memoryview) -> tuple[int, int] | None:
    if len(data) < 24 or bytes(data[12:16]) != b"IHDR":
        return None
    width, height = struct.unpack_from(">II", data, 16)
    return height, width


def _jpeg_size(data: memoryview) -> tuple[int, int] | None:
    """Step from segment to segment to the frame's, as the decoder does; a thumbnail is inside another segment."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return height, width
        if marker == 0xFF:  # fill byte
            at += 1
        else:
            at += 2 if marker in _JPEG_BARE else 2 + struct.unpack_from(">H", data, at + 2)[0]
    return None


def codec_of(message: Any) -> str:
    """Return "jpeg" or "png" by the first bytes of the data: drivers spell it differently in `format`."""
    start = bytes(message.data[:4])
    for codec, magic in _STARTS.items():
        if start.startswith(magic):
            return codec
    raise ValueError(
        f"a compressed image must be JPEG or PNG: got format {message.format!r}, {len(message.data)} bytes"
    )


def compress(image: RawImage, codec: str, jpeg_quality: int) -> bytes:
    """Encode an image as a JPEG or PNG file.

    Args:
        image: result of `encode` in mono, rgb(a) or bgr(a); JPEG takes 8 bits only and drops an alpha channel.
        codec: "jpeg" or "png".
        jpeg_quality: 1 to 100.

    Returns:
        The content of the file.
    """
    pixels = image.data.astype(image.data.dtype.newbyteorder("="), copy=False)
    code = _TO_BGR[_family(image.encoding)]
    if code is not None:
        pixels = cv2.cvtColor(pixels, code)
    if codec == "jpeg":
        done, data = cv2.imencode(".jpg", pixels[..., :3], [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality])
    else:
        done, data = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    assert done
    return data.tobytes()


def codec_and_format(image: RawImage) -> tuple[str, str]:
    """Return codec (8 bits: JPEG, 16 bits: PNG) and image_transport's `format` for an image whose input is raw."""
    bits = 8 * image.data.itemsize
    codec = "jpeg" if bits == 8 else "png"
    compressed = "mono" if image.data.shape[2] == 1 else "bgra" if image.data.shape[2] == 4 and bits == 16 else "bgr"
    return codec, f"{image.encoding}; {codec} compressed {compressed}{bits}"


def _family(encoding: str) -> str:
    """Return the encoding without its bits: rgb for rgb16."""
    if "UC" in encoding:  # OpenCV's type names, in OpenCV's channel order
        return {"1": "mono", "3": "bgr", "4": "bgra"}[encoding[-1]]
    return encoding.rstrip("0123456789")
