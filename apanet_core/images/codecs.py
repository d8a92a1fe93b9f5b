"""JPEG and PNG: whether a file is whole, its pixels, and CompressedImage in the conventions of image_transport."""

from __future__ import annotations

import struct
from typing import Any

import cv2
import numpy as np

from apanet_core.images.encodings import RawImage

_ENDS = {"jpeg": b"\xff\xd9", "png": b"IEND\xaeB`\x82"}
_STARTS = {"jpeg": b"\xff\xd8", "png": b"\x89PNG"}
_TRAILING = 256  # bytes of padding other than zeros that cameras append
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
    """CompressedImage -> its pixels, in the encoding that the camera compressed where the format names it.

    Args:
        message: sensor_msgs/CompressedImage, of rclpy or rosbags, JPEG or PNG.

    Returns:
        mono, rgb(a) or bgr(a) of 8 or 16 bits.

    Raises:
        ValueError: another codec, a Bayer mosaic, or data that are cut off or damaged.
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
    """Decode an image file as it is stored: EXIF turns nothing.

    Args:
        data: of JPEG, PNG or another type that OpenCV reads.

    Returns:
        (H, W) or (H, W, C) in OpenCV's order of channels, of the depth of the file.

    Raises:
        ValueError: the file is cut off, damaged in the middle, larger than OpenCV takes, or no image.
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
            f"the {codec} image of {len(data)} bytes is damaged" if codec else "no image that OpenCV reads"
        )
    return pixels


def _decode_jpeg(data: bytes) -> np.ndarray | None:
    """Decode by simplejpeg, which says where data are damaged; OpenCV and Pillow fill in grey.

    None for colours other than grey and YCbCr, and where the package is missing.
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
    """Raise ValueError where the end of a "jpeg" or "png" file is missing; zeros may follow it, as buffers have."""
    content = bytes(data).rstrip(b"\0")
    if _ENDS[codec].rstrip(b"\0") not in content[-_TRAILING:]:
        raise ValueError(f"the {codec} image of {len(data)} bytes is cut off: its end is missing")


def size_of(message: Any) -> tuple[int, int]:
    """Height and width that the header claims; nothing is decoded, for a few bytes may claim gigabytes.

    Args:
        message: sensor_msgs/CompressedImage, of rclpy or rosbags, JPEG or PNG.

    Returns:
        Height and width in px, as the decoder would allocate them.

    Raises:
        ValueError: another codec, or no size in the header.
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
    """Go from segment to segment, as the decoder does, to the frame's; a thumbnail lies within a segment."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return height, width
        if marker == 0xFF:  # filling
            at += 1
        else:
            at += 2 if marker in _JPEG_BARE else 2 + struct.unpack_from(">H", data, at + 2)[0]
    return None


def codec_of(message: Any) -> str:
    """ "jpeg" or "png", by the first bytes of the data: drivers disagree on how to spell it in `format`."""
    start = bytes(message.data[:4])
    for codec, magic in _STARTS.items():
        if start.startswith(magic):
            return codec
    raise ValueError(
        f"a compressed image must be JPEG or PNG: got format {message.format!r}, {len(message.data)} bytes"
    )


def compress(image: RawImage, codec: str, jpeg_quality: int) -> bytes:
    """Write an image as `encode` returns it.

    Args:
        image: mono, rgb(a) or bgr(a); 16 bits go into PNG only, an alpha channel is dropped in JPEG.
        codec: "jpeg" or "png".
        jpeg_quality: 1 to 100.

    Returns:
        The file.
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
    """Codec, and `format` as image_transport writes it, of an image that came raw: 8 bits JPEG, 16 bits PNG."""
    bits = 8 * image.data.itemsize
    codec = "jpeg" if bits == 8 else "png"
    compressed = "mono" if image.data.shape[2] == 1 else "bgra" if image.data.shape[2] == 4 and bits == 16 else "bgr"
    return codec, f"{image.encoding}; {codec} compressed {compressed}{bits}"


def _family(encoding: str) -> str:
    """rgb of rgb16."""
    if "UC" in encoding:  # OpenCV's own names, in OpenCV's order of channels
        return {"1": "mono", "3": "bgr", "4": "bgra"}[encoding[-1]]
    return encoding.rstrip("0123456789")
