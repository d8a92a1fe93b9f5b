"""JPEG and PNG of sensor_msgs/CompressedImage, in the conventions of image_transport's `compressed`."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from apanet_core.runtime.encodings import RawImage

_ENDS = {"jpeg": b"\xff\xd9", "png": b"IEND\xaeB`\x82"}
_STARTS = {"jpeg": b"\xff\xd8", "png": b"\x89PNG"}
_TRAILING = 256  # bytes of padding that cameras append
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
        ValueError: another codec, or data that are cut off or damaged.
    """
    data = np.frombuffer(message.data, np.uint8)
    codec = codec_of(message)
    if _ENDS[codec] not in data[-_TRAILING:].tobytes():
        raise ValueError(f"the {codec} image of {data.size} bytes is cut off: its end is missing")
    pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"the {codec} image of {data.size} bytes is damaged")
    height, width = pixels.shape[:2]
    pixels = pixels.reshape(height, width, -1)
    bits = 8 * pixels.itemsize
    encoding = {1: "mono", 3: "bgr", 4: "bgra"}[pixels.shape[2]] + str(bits)
    if message.format.partition(";")[0].strip() in (f"rgb{bits}", f"rgba{bits}") and pixels.shape[2] > 1:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB if pixels.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)
        encoding = encoding.replace("bgr", "rgb")
    return RawImage(encoding, height, width, pixels.strides[0], 0, pixels)


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
    return {"8UC1": "mono", "16UC1": "mono", "8UC3": "bgr", "16UC3": "bgr"}.get(encoding, encoding.rstrip("0123456789"))
