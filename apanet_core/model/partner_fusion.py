"""Fusion of both views: the other view is warped onto this one, and weights choose between them at each pixel."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from apanet_core.model.parallax_matching import MATCHING_STRIDE, ContextBlock, Match

CANDIDATES = 4


class PartnerFusion(nn.Module):
    """Improve each view with the matching pixels of the other one.

    Rain adds light, and near drops never hide the same point from both cameras. So the candidates for a pixel are the
    view's estimate, the partner's estimate, the darker of the two, and the darker of the two rainy views. Softmax
    weights choose among them, and a residual is added. The weights are computed on cells of `MATCHING_STRIDE` px, so
    full resolution costs a few 1x1 convolutions.

    Args:
        in_channels: channels of the features.
        channels: width.
        blocks: number of `ContextBlock`.
        warp: False leaves the partner out, an ablation.
    """

    def __init__(self, in_channels: int, channels: int, blocks: int, warp: bool = True) -> None:
        super().__init__()
        cell_channels = 3 * MATCHING_STRIDE**2
        self.project_in = nn.Conv2d(in_channels + 3 * cell_channels + 1, channels, 1)
        self.blocks = nn.Sequential(*(ContextBlock(channels) for _ in range(blocks)))
        self.project_out = nn.Conv2d(channels, cell_channels + CANDIDATES * MATCHING_STRIDE**2, 1)
        self.warp = warp
        nn.init.zeros_(self.project_out.weight)
        assert self.project_out.bias is not None
        nn.init.zeros_(self.project_out.bias)
        of_estimate = slice(cell_channels, cell_channels + MATCHING_STRIDE**2)
        self.project_out.bias.data[of_estimate] = 4.0  # a new module keeps the estimate

    def forward(
        self, rainy: torch.Tensor, estimate: torch.Tensor, features: torch.Tensor, match: Match
    ) -> torch.Tensor:
        """Derain once more.

        Args:
            rainy: (2 B, 3, H, W), left views first.
            estimate: what each view alone gives, the same shape.
            features: (2 B, C, H / 4, W / 4).
            match: result of `ParallaxMatching` for these views.

        Returns:
            (2 B, 3, H, W).
        """
        partner = torch.cat([estimate, rainy], dim=1)
        if self.warp:
            partner = warp_rows(partner, match.disparity)
        partner_estimate, partner_rainy = partner.to(estimate.dtype).chunk(2, dim=1)
        darker, darker_rainy = torch.minimum(estimate, partner_estimate), torch.minimum(rainy, partner_rainy)
        news = torch.cat([rainy - estimate, partner_estimate - estimate, darker_rainy - estimate], dim=1)
        x = self.blocks(self._project(features, news.to(features.dtype), match.confidence.to(features.dtype)))
        x = F.pixel_shuffle(self.project_out(x), MATCHING_STRIDE).to(estimate.dtype)
        residual, weights = x[:, :3], x[:, 3:].softmax(dim=1)
        candidates = (estimate, partner_estimate, darker, darker_rainy)
        return residual + sum(weights[:, n : n + 1] * image for n, image in enumerate(candidates))

    def _project(self, features: torch.Tensor, news: torch.Tensor, confidence: torch.Tensor) -> torch.Tensor:
        """Apply `project_in` to [features, unshuffled news, mean confidence of the cell], without concatenation.

        A 1x1 convolution after pixel-unshuffle equals a convolution of the image with that stride.
        """
        weight, stride, feature_channels = self.project_in.weight, MATCHING_STRIDE, features.shape[1]
        of_news = weight[:, feature_channels:-1].reshape(weight.shape[0], -1, stride, stride)
        of_confidence = (weight[:, -1:] / stride**2).expand(-1, -1, stride, stride)
        images = torch.cat([news, confidence], dim=1)
        moved = F.conv2d(images, torch.cat([of_news, of_confidence], dim=1), stride=stride)
        return moved + F.conv2d(features, weight[:, :feature_channels], self.project_in.bias)


def warp_rows(images: torch.Tensor, disparity: torch.Tensor) -> torch.Tensor:
    """Move the other view's pixels to where this view sees them.

    Args:
        images: (2 B, C, H, W): left views, then right views.
        disparity: (2 B, 1, H, W) px of left views, then of right views.

    Returns:
        (2 B, C, H, W) float32: a left pixel x shows the right view at x - disparity, a right one the left at
        x + disparity, linear between columns; beyond the border its last column.
    """
    height, width = images.shape[2:]
    column = torch.arange(width, device=images.device, dtype=torch.float32)
    row = torch.arange(height, device=images.device, dtype=torch.float32)
    left, right = disparity[:, 0].chunk(2)
    x = torch.cat([column - left, column + right])
    # grid_sample counts from -1 to 1
    across = (2 * x + 1) / width - 1
    down = ((2 * row + 1) / height - 1)[None, :, None].expand_as(across)
    grid = torch.stack([across, down], dim=-1)
    partners = torch.cat([view.float() for view in reversed(images.chunk(2))])
    return F.grid_sample(partners, grid, padding_mode="border", align_corners=False)
