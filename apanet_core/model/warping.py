"""Read the other view of a pair where this view sees it: along the row, at a disparity."""

from __future__ import annotations

import torch
from torch.nn import functional as F


def warp_rows(images: torch.Tensor, disparity: torch.Tensor) -> torch.Tensor:
    """Move the other view's pixels to where this view sees them.

    Args:
        images: (2 B, C, H, W): left views, then right views.
        disparity: (2 B, 1, H, W) px of left views, then of right views.

    Returns:
        (2 B, C, H, W) float32: a left pixel x shows the right view at x - disparity, a right one the left at
        x + disparity, linear between columns; beyond the border its last column.
    """
    return read_partner(images, row_grid(disparity))


def row_grid(disparity: torch.Tensor) -> torch.Tensor:
    """Return where each pixel is seen in the other view, as `grid_sample` counts: (2 B, 1, H, W) -> (2 B, H, W, 2)."""
    height, width = disparity.shape[2:]
    # grid_sample counts from -1 to 1
    column = (2 * torch.arange(width, device=disparity.device, dtype=torch.float32) + 1) / width - 1
    row = (2 * torch.arange(height, device=disparity.device, dtype=torch.float32) + 1) / height - 1
    here = torch.stack([column.expand(height, -1), row[:, None].expand(-1, width)], dim=-1)
    across = torch.arange(1, -1, -1, device=disparity.device)  # (1, 0): x moves, y stays
    left, right = disparity[:, 0].chunk(2)
    return here + (2 / width) * torch.cat([-left, right])[..., None] * across


def read_partner(images: torch.Tensor, grid: torch.Tensor, mode: str = "bilinear") -> torch.Tensor:
    """Read the other view of each of `images` (2 B, C, H, W) at a `row_grid`: the same shape, float32."""
    partners = torch.cat([view.float() for view in reversed(images.chunk(2))])
    return F.grid_sample(partners, grid, mode, padding_mode="border", align_corners=False)
