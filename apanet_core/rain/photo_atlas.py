"""Photographs on the device, at several resolutions, in a flat buffer from which a batch can read any pixels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

import cv2
import numpy as np
import torch

LEVELS = 4  # resolutions, each half of the previous one


class Lines(NamedTuple):
    """Pairs of neighbouring lines of pixels of an atlas, in a photograph scaled by `scale` to a width of `width` px."""

    first: torch.Tensor  # position of the upper line in the buffer, int32
    weight: torch.Tensor  # of the lower line
    width: torch.Tensor  # int32
    scale: torch.Tensor

    def at(self, places: torch.Tensor) -> Lines:
        """Return the lines at `places` of the flattened tensors."""
        return Lines(*(t.flatten().index_select(0, places) for t in self))


class PhotoAtlas:
    """Textures to sample.

    A pixel is one int32 with the bytes R, G, B and 255, so that one read returns its three channels.

    Args:
        photos: (H, W, 3) uint8 RGB each, of any size.
        device: device that holds the buffer.

    Raises:
        ValueError: `photos` is empty, or they have more than 2^31 pixels.
    """

    def __init__(self, photos: Sequence[np.ndarray], device: torch.device | str = "cpu") -> None:
        if not photos:
            raise ValueError("expected at least one photograph: got none")
        table, offset = [], 0
        for photo in photos:
            height, width = photo.shape[:2]
            for _ in range(LEVELS):
                table.append((offset, height, width))
                offset += height * width
                height, width = max(height // 2, 1), max(width // 2, 1)
        if offset >= 1 << 31:
            raise ValueError(
                f"photographs of at most {1 << 31:,} px with their smaller copies: got {offset:,}; give fewer"
            )
        margin = max(width for _, _, width in table) + 1  # read, with weight 0, after a last line
        pixels = np.empty((offset + margin, 4), np.uint8)
        pixels[offset:] = 0
        places = iter(table)
        for image in photos:
            for first, height, width in islice(places, LEVELS):
                if image.shape[:2] != (height, width):
                    image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
                line = pixels[first : first + height * width].reshape(height, width, 4)
                cv2.cvtColor(image, cv2.COLOR_RGB2RGBA, dst=line)
        self.pixels = torch.from_numpy(pixels.reshape(-1).view(np.int32)).to(device)
        # (photographs x LEVELS, 3): offset, height, width
        self.table = torch.tensor(table, dtype=torch.int32, device=device)
        self.sizes = self.table[::LEVELS, 1:].float()  # (photographs, 2): height, width

    def __len__(self) -> int:
        return len(self.sizes)

    def lines(self, photo: torch.Tensor, row: torch.Tensor, step: torch.Tensor) -> Lines:
        """Choose lines of pixels to read, mirrored beyond the upper and lower border.

        Args:
            photo: (...) int64, index of the photograph.
            row: (...) px of the photograph, 0 at the top border.
            step: (...) px of the photograph per px of the result, which decides the resolution.

        Returns:
            The lines, (...) each.
        """
        level = step.clamp(min=1e-3).log2().round().clamp(0, LEVELS - 1).long()
        offset, height, width = self.table[photo * LEVELS + level].unbind(-1)
        scale = torch.exp2(-level.float())
        top, weight = _mirrored(row * scale, height)
        return Lines(offset + top.int() * width, weight, width, scale)

    def read(self, lines: Lines, column: torch.Tensor) -> torch.Tensor:
        """Read pixels bilinearly, mirrored beyond the left and right border.

        Args:
            lines: (N,) each.
            column: (N,) px of the photograph, 0 at the left border.

        Returns:
            (3, N) float32 RGB in [0, 255].
        """
        left, across = _mirrored(column * lines.scale, lines.width)
        upper = lines.first + left.int()
        upper_row, lower_row = (
            torch.lerp(self._colours(row), self._colours(row + 1), across) for row in (upper, upper + lines.width)
        )
        return torch.lerp(upper_row, lower_row, lines.weight)

    def _colours(self, places: torch.Tensor) -> torch.Tensor:
        """Read (N,) pixels as (3, N) float32."""
        pixels = self.pixels.index_select(0, places)
        return torch.stack([(pixels >> shift & 255).float() for shift in (0, 8, 16)])


def _mirrored(place: torch.Tensor, length: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the pixel before `place` in an image that is mirrored at its borders, and the weight of the next one.

    `place` is in px, 0 at the border of a row or column of `length` pixels; both results are float32.
    """
    twice = 2.0 * length
    folded = place - twice * (place / twice).floor()
    folded = torch.minimum(torch.minimum(folded, twice - folded) - 0.5, length - 1.0).clamp(min=0)
    before = torch.minimum(folded.floor(), length - 2.0).clamp(min=0)
    return before, folded - before
