"""The CameraInfo that belongs to an image."""

from __future__ import annotations

import contextlib
import copy
from collections import deque
from typing import Any


class CameraInfoCache:
    """The CameraInfo messages of one view, to find the one that belongs to an image."""

    def __init__(self, depth: int = 60) -> None:
        self._recent: deque[Any] = deque(maxlen=depth)
        self._size: tuple[int, int] | None = None  # of the images

    def add(self, info: Any) -> None:
        """Remember a message."""
        self._recent.append(info)

    def clear(self) -> None:
        """Forget them all."""
        self._recent.clear()

    def with_stamp_of(self, image: Any) -> Any | None:
        """The CameraInfo with the stamp of `image`; None where it did not come, or long ago."""
        recent = list(self._recent)  # the receiving thread may append meanwhile
        return next((info for info in reversed(recent) if info.header.stamp == image.header.stamp), None)

    def for_image(self, image: Any, size: tuple[int, int]) -> Any | None:
        """Find the CameraInfo to publish with an image, whether it fits or not: `describe_mismatch` says when not.

        It is the one of the same stamp, unchanged; else, under the header of the image, the newest that fits or the
        newest since the images have this size.

        Args:
            image: the message.
            size: its height and width in px.

        Returns:
            A CameraInfo; None where none came yet.
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
        """When the camera has changed its size, what came before describes the old one."""
        changed, self._size = self._size not in (None, size), size
        for info in list(self._recent) if changed else ():
            if not fits(info, size):
                with contextlib.suppress(ValueError):  # the receiving thread may have let go of it
                    self._recent.remove(info)


def image_size(info: Any) -> tuple[int, int]:
    """Height and width of the images that a CameraInfo describes, after region of interest and binning; 0: not said."""
    height, width = info.roi.height or info.height, info.roi.width or info.width
    return height // max(info.binning_y, 1), width // max(info.binning_x, 1)


def fits(info: Any, size: tuple[int, int]) -> bool:
    """Whether a CameraInfo may belong to images of this height and width in px."""
    return image_size(info) in (size, (0, 0))


def describe_mismatch(infos: dict[str, Any], size: tuple[int, int]) -> str:
    """What depth downstream will lack beside a pair, for the log.

    Args:
        infos: by side, what is published beside its image; None where nothing is.
        size: height and width of the images in px.

    Returns:
        The reason; empty when all is well.
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
