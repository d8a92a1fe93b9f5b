"""Broken messages from a random seed."""

import struct
import zlib
from array import array

import cv2
import numpy as np
from messages import FRAMES, SIDES, image_message, info_message
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage

HUGE = 2**32 - 1
ODD_SECONDS = (-(2**31), -1, 0, 1, 2**31 - 1)


def compressed_message(stamp_ns, side, suffix=".png", seed=0, size=(48, 64)):
    """Return a noise image as a PNG or JPEG file."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    message = CompressedImage(format=f"bgr8; {suffix[1:]} compressed bgr8")
    message.header = image_message(stamp_ns, side, size=(1, 1)).header
    message.data = array("B", cv2.imencode(suffix, pixels)[1].tobytes())
    return message


def png_that_claims(width, height):
    """Return a PNG with a valid header of this size but without its pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    )


class Fuzzer:
    """Makes broken messages, none of which completes a valid pair.

    Args:
        seed: random seed; equal seeds make equal messages.
        compressed: True makes CompressedImage messages, False Image messages.
    """

    def __init__(self, seed, compressed=False):
        self.rng = np.random.default_rng(seed)
        self._compressed = compressed

    def broken_pair(self, stamp_ns):
        """Return a left and a right image of one stamp that are no valid pair: one or both are broken, or the sizes."""
        if self.rng.random() < 0.1:
            sizes = [((48, 64), (48, 66)), ((8, 64), (8, 64)), ((15, 15), (15, 15))][self.rng.integers(3)]
            return [self._image(stamp_ns, side, size=size) for side, size in zip(SIDES, sizes)]
        good = self.rng.integers(3)  # left, right or none
        return [
            self._image(stamp_ns, side) if number == good else self._broken(stamp_ns, side)
            for number, side in enumerate(SIDES)
        ]

    def stray(self, side):
        """Return a valid image with a random stamp that the other view never has."""
        message = self._image(0, side)
        seconds = self.rng.integers(-(2**31), 2**31) if self.rng.random() < 0.5 else self.rng.choice(ODD_SECONDS)
        message.header.stamp.sec = int(seconds)
        message.header.stamp.nanosec = 2 * int(self.rng.integers(2**31)) + SIDES.index(side)
        return message

    def garbled(self, side):
        """Return a serialized image that is cut off or partly overwritten."""
        data = bytearray(serialize_message(self.stray(side)))
        if self.rng.random() < 0.5:
            return bytes(data[: self.rng.integers(len(data))])
        at, length = self.rng.integers(0, 60), self.rng.integers(1, 9)
        data[at : at + length] = self.rng.bytes(length)
        return bytes(data)

    def info(self, side):
        """Return a CameraInfo with NaN, infinities, zeros, invalid sizes and random stamps."""
        message = info_message(int(self.rng.integers(2**60)), side)
        value = float(self.rng.choice([np.nan, np.inf, -np.inf, 0.0, 1e308]))
        for field, count in (("k", 9), ("r", 9), ("p", 12), ("d", int(self.rng.integers(100)))):
            if self.rng.random() < 0.7:
                setattr(message, field, [value] * count)
        message.width, message.height = (int(v) for v in self.rng.choice([0, 1, 64, HUGE], 2))
        message.distortion_model = str(self.rng.choice(["", "plumb_bob", "?" * 1000]))
        message.header.frame_id = str(self.rng.choice(["", FRAMES[side], "\u2602" * 50]))
        return message

    def _image(self, stamp_ns, side, size=(48, 64)):
        return (compressed_message if self._compressed else image_message)(stamp_ns, side, size=size)

    def _broken(self, stamp_ns, side):
        message = self._image(stamp_ns, side)
        (self._break_file if self._compressed else self._break_pixels)(message)
        return message

    def _break_pixels(self, message):
        kind = self.rng.integers(7)
        if kind == 0:
            message.encoding = str(self.rng.choice(["", "yuv999", "RGB8", "rgb8 ", "32FC1", "bayer", "x" * 300]))
        elif kind == 1:
            setattr(message, str(self.rng.choice(["height", "width", "step"])), 0)
        elif kind == 2:
            setattr(message, str(self.rng.choice(["height", "width", "step"])), int(self.rng.integers(300, HUGE)))
        elif kind == 3:
            message.step = int(self.rng.integers(1, 192))
        elif kind == 4:
            message.data = message.data[: self.rng.integers(len(message.data))]
        elif kind == 5:
            message.width = message.height = message.step = HUGE
        else:
            message.encoding = str(self.rng.choice(["rgba8", "rgb16", "bgra16"]))  # needs more bytes than data holds

    def _break_file(self, message):
        data, kind = message.data.tobytes(), self.rng.integers(5)
        if kind == 0:
            data = data[: self.rng.integers(len(data) - 12)]
        elif kind == 1:
            data = self.rng.bytes(int(self.rng.integers(500)))
        elif kind == 2:
            data = png_that_claims(*(int(v) for v in self.rng.integers(5000, 2**31, 2)))
        elif kind == 3:
            data = png_that_claims(*(int(v) for v in self.rng.choice([0, 1, 64, 2**31 - 1], 2, replace=False)))
        else:
            data = b"\xff\xd8" + self.rng.bytes(int(self.rng.integers(100))) + b"\xff\xd9"
        message.data = array("B", data)
