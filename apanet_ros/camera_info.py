"""Find the CameraInfo of an image and check that its size fits."""

from __future__ import annotations

import contextlib
import copy
from collections import deque
from typing import Any


class CameraInfoCache:
    """The most recent CameraInfo messages of one view.

    Args:
        depth: number of messages to store.
    """

    def __init__(self, depth: int = 60) -> None:
        self._recent: deque[Any] = deque(maxlen=depth)
        self._size: tuple[int, int] | None = None  # height and width of the images in px

    def add(self, info: Any) -> None:
        """Store a message."""
        self._recent.append(info)

    def clear(self) -> None:
        """Remove all messages."""
        self._recent.clear()

    def with_stamp_of(self, image: Any) -> Any | None:
        """Return the CameraInfo with the stamp of `image`; None if it is missing or no longer stored."""
        recent = list(self._recent)  # a copy, since the receiving thread appends
        return next((info for info in reversed(recent) if info.header.stamp == image.header.stamp), None)

    def for_image(self, image: Any, size: tuple[int, int]) -> Any | None:
        """Find the CameraInfo to publish with an image; `describe_mismatch` tells whether it fits.

        A message with the stamp of the image is returned unchanged. Otherwise, the newest message of the image's size,
        or else the newest of any size, is copied and gets the header of the image.

        Args:
            image: the image message.
            size: height and width of the image in px.

        Returns:
            A CameraInfo, or None if no message is stored.
        """
        self._forget_other_size(size)
        own = self.with_stamp_of(image)
        if own is not None:
            return own
        recent = list(self._recent)
        newest = next((info for info in reversed(recent) if fits(info, size)), recent[-1] if recent else None)
        if newest is not None:
            newest = copy.copy(newest)
            newest.header = image.header
        return newest

    def _forget_other_size(self, size: tuple[int, int]) -> None:
        """Remove the messages of another size if the image size has changed."""
        changed, self._size = self._size not in (None, size), size
        for info in list(self._recent) if changed else ():
            if not fits(info, size):
                with contextlib.suppress(ValueError):  # the receiving thread may have removed it
                    self._recent.remove(info)


def image_size(info: Any) -> tuple[int, int]:
    """Return height and width in px of the images that a CameraInfo describes, after ROI and binning; 0 if not set."""
    height, width = info.roi.height or info.height, info.roi.width or info.width
    return height // max(info.binning_y, 1), width // max(info.binning_x, 1)


def fits(info: Any, size: tuple[int, int]) -> bool:
    """Return whether a CameraInfo describes images of this height and width in px, or sets no size."""
    return image_size(info) in (size, (0, 0))


def describe_mismatch(infos: dict[str, Any], size: tuple[int, int]) -> str:
    """Describe why the CameraInfo of a pair does not fit its images, for the log.

    Args:
        infos: CameraInfo published with the image, by side; None if missing.
        size: height and width of the images in px.

    Returns:
        The problem; empty if both messages fit.
    """
    missing = " and ".join(side for side, info in infos.items() if info is None)
    if missing:
        return f"no CameraInfo for the {missing} view yet"
    for side, info in infos.items():
        if not fits(info, size):
            height, width = image_size(info)
            roi = f"roi {info.roi.width}x{info.roi.height}, binning {info.binning_x}x{info.binning_y}"
            return (
                f"the CameraInfo of the {side} view is for {width}x{height} (size {info.width}x{info.height}, {roi}), "
                f"its images are {size[1]}x{size[0]}"
            )
    return ""
