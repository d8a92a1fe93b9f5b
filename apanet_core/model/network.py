"""APANet: a Siamese U-Net whose blocks are external attention per view and parallax attention across the views."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from apanet_core.model.config import ModelConfig
from apanet_core.model.external_attention import ExternalAttentionBlock
from apanet_core.model.layers import Downsample, Upsample, channels_last, in_row_strips, pad_to_multiple
from apanet_core.model.parallax_attention import ParallaxAttention
from apanet_core.model.parallax_matching import Match, ParallaxMatching
from apanet_core.model.partner_fusion import PartnerFusion


class Derained(NamedTuple):
    """Stacked views, (2 B, 3, H, W), left ones first.

    Attributes:
        derained: the result.
        estimate: the views derained before the fusion; equal to `derained` for a network without matching.
        match: the matches of both views; None for a network without matching.
    """

    derained: torch.Tensor
    estimate: torch.Tensor
    match: Match | None


class Block(nn.Module):
    """One block: EAM on each view with shared weights, then APAM across the views.

    The views travel stacked along the batch, left first, so that layers with shared weights run once.
    """

    def __init__(self, external: ExternalAttentionBlock, parallax: ParallaxAttention | None) -> None:
        super().__init__()
        self.external = external
        self.parallax = parallax

    def forward(self, views: torch.Tensor) -> torch.Tensor:
        """Apply the block.

        Args:
            views: (2 B, C, H, W), left views first.

        Returns:
            The same shape.
        """
        views = self.external(views)
        # one strip of rows after the other, so that the attention's temporaries fit into a CPU's cache
        return views if self.parallax is None else in_row_strips(self._exchange, views, halo=0)

    def _exchange(self, views: torch.Tensor) -> torch.Tensor:
        assert self.parallax is not None
        return torch.cat(self.parallax(*views.chunk(2)))


class APANet(nn.Module):
    """Derains a rectified stereo pair.

    Source: APANet, IEEE TCI 2025, figure 2. The finest decoder level keeps the concatenated skip (twice the channels)
    where the coarser ones reduce it with a 1x1 convolution, as published. `stem_stride`, `max_disparity`, matching,
    fusion and gate are ours.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        widths, stem = config.channels, config.stem_stride
        levels = len(widths)
        self.project_in = nn.Conv2d(3 * stem**2, widths[0], 3, padding=1)
        self.encoder = nn.ModuleList(
            _blocks(config, level, widths[level - 1], config.encoder_blocks[level - 1])
            for level in range(1, levels + 1)
        )
        self.down = nn.ModuleList(Downsample(fine, coarse) for fine, coarse in pairwise(widths))
        self.up = nn.ModuleList(Upsample(coarse, fine) for fine, coarse in pairwise(widths))
        self.reduce = nn.ModuleList(  # level 1 keeps both halves, as published
            nn.Identity() if level == 1 else nn.Conv2d(2 * widths[level - 1], widths[level - 1], 1)
            for level in range(1, levels)
        )
        self.decoder = nn.ModuleList(
            _blocks(config, level, widths[level - 1] * (2 if level == 1 else 1), config.decoder_blocks[level - 1])
            for level in range(1, levels)
        )
        self.project_out = nn.Conv2d(2 * widths[0], 3 * stem**2, 3, padding=1)
        nn.init.zeros_(self.project_out.weight)  # a new network returns its input
        assert self.project_out.bias is not None
        nn.init.zeros_(self.project_out.bias)
        self.matching: ParallaxMatching | None = None
        if config.matching_channels:
            level = config.matching_level
            matched_channels = widths[level - 1] * (2 if level == 1 else 1)
            self.matching = ParallaxMatching(
                matched_channels,
                config.matching_channels,
                config.max_disparity,
                config.parallax_mask,
            )
            self.fusion = PartnerFusion(
                matched_channels, config.fusion_channels, config.fusion_blocks, config.gate_channels, config.warp
            )

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Derain one batch of pairs.

        Args:
            left: (B, 3, H, W) float RGB in [0, 1]; any H, W.
            right: of the shape of `left`, rectified with it.

        Returns:
            Derained left and right, shapes as given; not clipped.

        Raises:
            ValueError: the views differ in shape, or are not (B, 3, H, W).
        """
        if left.shape != right.shape or left.dim() != 4 or left.shape[1] != 3:
            raise ValueError(
                f"left and right must both be (B, 3, H, W): got {tuple(left.shape)} and {tuple(right.shape)}"
            )
        height, width = left.shape[-2:]
        derained = self.derain(pad_to_multiple(torch.cat([left, right]), self.config.stride)).derained
        derained_left, derained_right = derained[..., :height, :width].chunk(2)
        return derained_left, derained_right

    def derain(self, rainy: torch.Tensor) -> Derained:
        """Derain stacked views, and return the intermediate results that training needs.

        Args:
            rainy: (2 B, 3, H, W) float RGB in [0, 1], left views first; H and W are multiples of `config.stride`.

        Returns:
            The result, the estimate before the fusion and the matches.
        """
        dtype = self.project_in.weight.dtype
        *skips, x = self.encode(rainy.to(dtype))
        at_level = {}  # decoder features
        for level in range(len(skips), 0, -1):
            blocks, reduce, up = self.decoder[level - 1], self.reduce[level - 1], self.up[level - 1]
            x = blocks(channels_last(reduce(torch.cat([up(x), skips[level - 1]], dim=1))))
            at_level[level] = x
        # in half precision the images and their sum keep the precision they came in
        estimate = rainy + F.pixel_shuffle(self.project_out(x), self.config.stem_stride)
        if self.matching is None:
            return Derained(estimate, estimate, None)
        matched = at_level[self.config.matching_level]
        match = self.matching(matched, estimate)
        return Derained(self.fusion(rainy, estimate, matched, match), estimate, match)

    def encode(self, rainy: torch.Tensor) -> list[torch.Tensor]:
        """Return the encoder features of every level, finest first: (2 B, 3, H, W) -> (2 B, C_i, H_i, W_i) each."""
        x = F.pixel_unshuffle(rainy, self.config.stem_stride)
        x = self.project_in(channels_last(x))
        features = []
        for blocks, down in zip(self.encoder, self.down):
            features.append(blocks(x))
            x = channels_last(down(features[-1]))
        return [*features, self.encoder[-1](x)]


def _blocks(config: ModelConfig, level: int, channels: int, count: int) -> nn.Sequential:
    memory_units = config.memory_units if level in config.external_attention_levels else None
    scale = config.stem_stride * 2 ** (level - 1)
    max_disparity_columns = None if config.max_disparity is None else -(-config.max_disparity // scale)

    def block() -> Block:
        external = ExternalAttentionBlock(channels, memory_units, config.external_attention_eps)
        parallax = (
            ParallaxAttention(channels, max_disparity_columns, config.parallax_mask)
            if level in config.parallax_levels
            else None
        )
        return Block(external, parallax)

    return nn.Sequential(*(block() for _ in range(count)))
