"""Convert pixels of image messages (of rclpy, rosbags or `RawImage`) to RGB and back, without ROS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np

from apanet_core.images.channel_order import as_stored, contiguous, to_bgr_memory


class Layout(NamedTuple):
    """Channels, bytes a value, OpenCV's conversions to RGB and back; `back` -1: published as rgb8 or rgb16."""

    channels: int
    size: int
    to_rgb: int | None
    back: int | None = -1


@dataclass(frozen=True)
class RawImage:
    """The fields of sensor_msgs/Image without the header; `data`: (height, width, channels), or the bytes of rows."""

    encoding: str
    height: int
    width: int
    step: int
    is_bigendian: int
    data: Any


_COLOURS: dict[str, tuple[int, int | None, int | None]] = {
    "rgb": (3, None, None),
    "bgr": (3, cv2.COLOR_BGR2RGB, cv2.COLOR_RGB2BGR),
    "rgba": (4, cv2.COLOR_RGBA2RGB, cv2.COLOR_RGB2RGBA),
    "bgra": (4, cv2.COLOR_BGRA2RGB, cv2.COLOR_RGB2BGRA),
    "mono": (1, cv2.COLOR_GRAY2RGB, cv2.COLOR_RGB2GRAY),
}
_BAYER = {  # names of OpenCV 4.5.4 (Humble), which come from two pixels of the mosaic's second row
    "bayer_rggb": cv2.COLOR_BayerBG2RGB,
    "bayer_bggr": cv2.COLOR_BayerRG2RGB,
    "bayer_gbrg": cv2.COLOR_BayerGR2RGB,
    "bayer_grbg": cv2.COLOR_BayerGB2RGB,
}
_PLANES = {"nv12": cv2.COLOR_YUV2RGB_NV12, "nv21": cv2.COLOR_YUV2RGB_NV21}  # height rows of Y, height / 2 of U and V
_LAYOUTS = {
    **{f"{name}8": Layout(channels, 1, to, back) for name, (channels, to, back) in _COLOURS.items()},
    **{f"{name}16": Layout(channels, 2, to, back) for name, (channels, to, back) in _COLOURS.items()},
    **{f"{name}{8 * size}": Layout(1, size, to) for name, to in _BAYER.items() for size in (1, 2)},
    **dict.fromkeys(("yuv422", "uyvy"), Layout(2, 1, cv2.COLOR_YUV2RGB_UYVY)),
    **dict.fromkeys(("yuv422_yuy2", "yuyv"), Layout(2, 1, cv2.COLOR_YUV2RGB_YUY2)),
    **{name: Layout(1, 1, to) for name, to in _PLANES.items()},
}
for _bits in (8, 16):  # OpenCV's type names, in OpenCV's channel order
    for _channels, _name in ((1, "mono"), (3, "bgr"), (4, "bgra")):
        _LAYOUTS[f"{_bits}UC{_channels}"] = _LAYOUTS[f"{_name}{_bits}"]
ENCODINGS = tuple(_LAYOUTS)


def output_encoding(encoding: str) -> str:
    """Return the encoding in which the result for an image in `encoding` is published."""
    layout = _LAYOUTS[encoding]
    return f"rgb{8 * layout.size}" if layout.back == -1 else encoding


def keeps_encoding(encoding: str) -> bool:
    """Return whether an image in `encoding` is published in the same encoding."""
    return encoding in _LAYOUTS and output_encoding(encoding) == encoding


def view_of(message: Any) -> np.ndarray:
    """Return the pixels of an Image message as a view (H, W, C) with rows `step` bytes apart.

    Args:
        message: sensor_msgs/Image, of rclpy or rosbags, or `RawImage`.

    Returns:
        uint8 or uint16 (in the byte order of the message), sharing the message's memory. NV12 and NV21 have H / 2
        further rows, for U and V.

    Raises:
        ValueError: the encoding is unknown, there are no pixels, or the sizes contradict each other.
    """
    encoding, height, width, step = message.encoding, message.height, message.width, message.step
    if encoding not in _LAYOUTS:
        raise unsupported(encoding)
    channels, size, *_ = _LAYOUTS[encoding]
    if encoding in _PLANES and (height % 2 or width % 2):
        raise ValueError(f"{encoding} needs an even width and height: got {width}x{height}")
    if channels == 2 and width % 2:
        raise ValueError(f"{encoding} needs an even width: got {width}")
    rows = height * 3 // 2 if encoding in _PLANES else height
    check_rows(message, rows, width * channels * size)
    used = np.frombuffer(message.data, np.uint8)[: rows * step].reshape(rows, step)[:, : width * channels * size]
    if size == 2:
        used = used.view(np.dtype(np.uint16).newbyteorder(">" if message.is_bigendian else "<"))
    return used.reshape(rows, width, channels)


def unsupported(encoding: str) -> ValueError:
    """Return the error for an encoding that cannot be read."""
    return ValueError(f"encoding {encoding!r} is not supported: publish one of {', '.join(ENCODINGS)}")


def check_rows(message: Any, rows: int, row_bytes: int) -> None:
    """Raise ValueError unless the data hold `rows` of at least `row_bytes` each, and width and height are above 0."""
    height, width, step = message.height, message.width, message.step
    if height == 0 or width == 0:
        raise ValueError(f"an image of {width}x{height} px has no pixels")
    if step < row_bytes:
        raise ValueError(f"step is {step} bytes, but a row of {width} px {message.encoding} takes {row_bytes}")
    held = memoryview(message.data).nbytes
    if held < rows * step:
        raise ValueError(f"data holds {held} bytes: height {rows} x step {step} needs {rows * step}")


def decode(message: Any) -> np.ndarray:
    """Decode an Image message to (H, W, 3) uint8 RGB; rgb8 is not copied, and bgr8 becomes a reversed view.

    Args:
        message: sensor_msgs/Image, of rclpy or rosbags, or `RawImage`; 16-bit values are scaled: 65535 becomes 255.

    Returns:
        The RGB pixels.

    Raises:
        ValueError: the encoding is unknown, there are no pixels, or the sizes contradict each other.
    """
    pixels = view_of(message)
    layout = _LAYOUTS[message.encoding]
    if layout.size == 2:
        pixels = _to_8_bits(_rgb_or_mono_16(layout, pixels))
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB) if pixels.shape[2] == 1 else pixels
    if layout.to_rgb is None:
        return pixels
    if layout is _LAYOUTS["bgr8"]:
        return pixels[..., ::-1]
    return cv2.cvtColor(np.ascontiguousarray(pixels) if layout.back == -1 else pixels, layout.to_rgb)


def encode(rgb: np.ndarray, source: Any) -> RawImage:
    """Convert clean pixels to the encoding of the message that they were decoded from.

    A 16-bit image gets the change, times 257, added: pixels that the network did not change keep their exact value.

    Args:
        rgb: (H, W, 3) uint8.
        source: the message that `decode` read, which gives encoding, byte order and alpha channel.

    Returns:
        The image, rows without padding, in `output_encoding(source.encoding)`.
    """
    layout, encoding = _LAYOUTS[source.encoding], output_encoding(source.encoding)
    if layout.size == 2:
        pixels = _encode_16(rgb, source, layout)
    else:
        pixels = _in_order_of(layout, rgb)
        if layout.channels == 4:
            pixels[..., 3] = view_of(source)[..., 3]
    height, width = rgb.shape[:2]
    pixels = np.ascontiguousarray(pixels).reshape(height, width, -1)
    return RawImage(encoding, height, width, pixels.strides[0], source.is_bigendian, pixels)


def _in_order_of(layout: Layout, rgb: np.ndarray) -> np.ndarray:
    """Convert (H, W, 3) uint8 RGB to the 8-bit channels of a layout; a reversed view of BGR is BGR already."""
    if layout is _LAYOUTS["bgr8"]:
        return as_stored(to_bgr_memory(rgb))
    rgb = contiguous(rgb)
    return rgb if layout.back in (None, -1) else cv2.cvtColor(rgb, layout.back)


def _encode_16(rgb: np.ndarray, source: Any, layout: Layout) -> np.ndarray:
    native = view_of(source)
    rainy = _rgb_or_mono_16(layout, native)
    clean = rgb if rainy.shape[2] == 3 else cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[..., None]
    change = clean.astype(np.int32) - _to_8_bits(rainy)
    wide = np.clip(rainy + 257 * change, 0, 65535).astype(np.uint16)
    if layout.back not in (None, -1) and wide.shape[2] == 3:
        wide = cv2.cvtColor(wide, layout.back)
    if layout.channels == 4:
        wide[..., 3] = native[..., 3]
    return wide.astype(native.dtype, copy=False)


def _rgb_or_mono_16(layout: Layout, pixels: np.ndarray) -> np.ndarray:
    """Convert to (H, W, 3) RGB or (H, W, 1), uint16 in this machine's byte order."""
    pixels = np.ascontiguousarray(pixels, np.uint16)
    if layout.to_rgb is None or (layout.channels == 1 and layout.back != -1):
        return pixels
    return cv2.cvtColor(pixels, layout.to_rgb)


def _to_8_bits(pixels: np.ndarray) -> np.ndarray:
    """Convert uint16 to uint8: divide by 257 and round."""
    return ((pixels.astype(np.uint32) * 255 + 32895) >> 16).astype(np.uint8)
