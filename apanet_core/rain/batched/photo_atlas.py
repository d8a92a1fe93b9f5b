"""Photographs on the device, at several resolutions, in a flat buffer from which a batch can read any pixels."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch

LEVELS = 4  # resolutions, each half of the previous one
LONGEST_SIDE = 1600  # px; larger photographs are scaled down


class PhotoAtlas:
    """Textures to sample.

    A pixel is one int32 with the bytes R, G, B, 0, so that one read returns its three channels.

    Args:
        photos: (H, W, 3) uint8 RGB each, of any size.
        device: device that holds the buffer.

    Raises:
        ValueError: `photos` is empty.
    """

    def __init__(self, photos: Sequence[np.ndarray], device: torch.device | str = "cpu") -> None:
        if not photos:
            raise ValueError("expected at least one photograph: got none")
        pieces, table, offset = [], [], 0
        for photo in photos:
            scale = min(1.0, LONGEST_SIDE / max(photo.shape[:2]))
            image = photo if scale == 1 else cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            for _ in range(LEVELS):
                height, width = image.shape[:2]
                table.append((offset, height, width))
                pieces.append(np.pad(image, ((0, 0), (0, 0), (0, 1))).reshape(-1).view(np.int32))
                offset += height * width
                size = max(width // 2, 1), max(height // 2, 1)
                image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        self.pixels = torch.from_numpy(np.concatenate(pieces)).to(device)
        self.table = torch.tensor(table, device=device)  # (photographs x LEVELS, 3): offset, height, width
        self.sizes = self.table[::LEVELS, 1:].float()  # (photographs, 2): height, width

    def __len__(self) -> int:
        return len(self.sizes)

    def sample(self, photo: torch.Tensor, column: torch.Tensor, row: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        """Read photographs bilinearly, mirrored beyond their borders.

        Args:
            photo: (...) int64, index of the photograph.
            column: (...) px of the photograph, 0 at the left border.
            row: (...) px, 0 at the top border.
            step: (...) px of the photograph per px of the result, which decides the resolution.

        Returns:
            (..., 3) float32 in [0, 255].
        """
        level = step.clamp(min=1e-3).log2().round().clamp(0, LEVELS - 1).long()
        offset, height, width = self.table[photo * LEVELS + level].unbind(-1)
        shrunk = torch.exp2(-level.float())
        u, v = column * shrunk - 0.5, row * shrunk - 0.5
        left, top = u.floor(), v.floor()
        across, down = (u - left)[..., None], (v - top)[..., None]
        first, second = (_mirrored(left.long() + dx, width) for dx in (0, 1))
        above, below = (offset + _mirrored(top.long() + dy, height) * width for dy in (0, 1))
        upper = torch.lerp(self._colours(above + first), self._colours(above + second), across)
        lower = torch.lerp(self._colours(below + first), self._colours(below + second), across)
        return torch.lerp(upper, lower, down)

    def _colours(self, place: torch.Tensor) -> torch.Tensor:
        """Read pixels: (...) int64 positions in the buffer to (..., 3) float32."""
        return self.pixels[place].view(torch.uint8).reshape(*place.shape, 4)[..., :3].float()


def _mirrored(index: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
    """Fold any index into 0 .. length - 1, as in a mirrored image."""
    folded = index % (2 * length)
    return torch.minimum(folded, 2 * length - 1 - folded)
