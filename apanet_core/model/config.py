"""The shape of an APANet and the presets that ship with the package."""

from __future__ import annotations

import difflib
import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

MATCHING_STRIDE = 4  # input px per column of the parallax matching


@dataclass(frozen=True)
class ModelConfig:
    """Shape of one network; embedded in every checkpoint.

    Levels count from 1 (finest). Level ``i`` works at ``1 / (stem_stride * 2 ** (i - 1))`` of the input resolution.

    Args:
        stem_stride: pixel-unshuffle factor in front of the first convolution; 1 keeps full resolution.
        channels: width of every level, finest first; the last one is the latent.
        encoder_blocks: blocks of every level on the way down, the latent included.
        decoder_blocks: blocks of every level on the way up, finest first, the latent excluded.
        memory_units: units S of the external memory shared by all pixels (EAM).
        external_attention_levels: levels whose blocks hold external attention; the others keep its feed-forward half.
        parallax_levels: levels whose blocks end with parallax attention (APAM).
        external_attention_eps: added to the sum over memory units. 1e-9 as in Guo et al. 2021; the code published with
            the paper has 1e9, which switches the branch off.
        max_disparity: largest disparity in px at input resolution that parallax attention may match, in APAM and in the
            matching; None for the whole scan line.
        parallax_mask: keep parallax attention to matches of disparity >= 0, as published; False is an ablation.
        matching_channels: width of the parallax matching at a quarter of the resolution, whose matches move the other
            view onto each; 0 for a network without, as published.
        fusion_channels: width of the fusion of both views (`PartnerFusion`); unused if `matching_channels` is 0.
        fusion_blocks: number of `ContextBlock` in the fusion.
        gate_channels: width of the rain gate (`RainGate`) behind the fusion, which keeps a dry view as it is; 0 for a
            network without.
        warp: whether the match moves the other view; False is an ablation.
        coring: strength in grey levels (of 255) of the coring, which shrinks small changes in the output of the
            derainer: docs/decisions/013. In rain a change of half this value is halved, in dry views a larger one. 0
            switches it off.
    """

    stem_stride: int = 1
    channels: tuple[int, ...] = (32, 64, 128, 256)
    encoder_blocks: tuple[int, ...] = (4, 6, 6, 8)
    decoder_blocks: tuple[int, ...] = (4, 6, 6)
    memory_units: int = 64
    external_attention_levels: tuple[int, ...] = (1, 2, 3, 4)
    parallax_levels: tuple[int, ...] = (1, 2, 3, 4)
    external_attention_eps: float = 1e-9
    max_disparity: int | None = None
    parallax_mask: bool = True
    matching_channels: int = 0
    fusion_channels: int = 64
    fusion_blocks: int = 2
    gate_channels: int = 0
    warp: bool = True
    coring: float = 0.0

    def __post_init__(self) -> None:
        for name in ("stem_stride", "memory_units"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1: got {getattr(self, name)}")
        if self.matching_channels < 0 or self.fusion_channels < 1 or self.fusion_blocks < 0:
            raise ValueError(
                "matching_channels and fusion_blocks must be at least 0 and fusion_channels at least 1: got "
                f"{self.matching_channels}, {self.fusion_blocks}, {self.fusion_channels}"
            )
        if self.gate_channels < 0 or (self.gate_channels and not self.matching_channels):
            raise ValueError(
                f"gate_channels must be at least 0, and 0 without matching_channels: got {self.gate_channels} and "
                f"{self.matching_channels}"
            )
        if self.coring and not 0.1 <= self.coring <= 255:
            raise ValueError(f"coring must be 0, or lie in [0.1, 255] grey levels: got {self.coring}")
        if self.external_attention_eps <= 0:
            raise ValueError(f"external_attention_eps must be above 0: got {self.external_attention_eps}")
        if min(self.channels, default=0) < 1 or min(self.encoder_blocks + self.decoder_blocks, default=0) < 0:
            raise ValueError(f"channels must be at least 1 and blocks at least 0: got {self}")
        levels = len(self.channels)
        if levels < 2:
            raise ValueError(f"a network has at least 2 levels: got channels {self.channels}")
        if len(self.encoder_blocks) != levels or len(self.decoder_blocks) != levels - 1:
            raise ValueError(
                f"{levels} channel widths need {levels} encoder_blocks and {levels - 1} decoder_blocks: "
                f"got {len(self.encoder_blocks)} and {len(self.decoder_blocks)}"
            )
        if self.matching_channels and self.matching_level not in range(1, levels):
            raise ValueError(
                f"matching needs a decoder level at 1/{MATCHING_STRIDE} of the resolution: got stem_stride "
                f"{self.stem_stride} with {levels} levels"
            )
        for name in ("external_attention_levels", "parallax_levels"):
            if not set(getattr(self, name)) <= set(range(1, levels + 1)):
                raise ValueError(f"{name} must lie in 1..{levels}: got {getattr(self, name)}")
        if any(width % 4 for width in self.channels[1:]):
            raise ValueError(f"channels below level 1 must be multiples of 4 (pixel-unshuffle): got {self.channels}")
        if self.max_disparity is not None and not self.parallax_mask:
            raise ValueError("max_disparity needs the parallax mask: set parallax_mask, or max_disparity to null")
        if self.max_disparity is not None and (not isinstance(self.max_disparity, int) or self.max_disparity < 1):
            raise ValueError(
                f"max_disparity must be a whole number of px from 1 up, or None for no cap: got {self.max_disparity}"
            )

    @property
    def stride(self) -> int:
        """Factor between input and latent resolution; inputs are padded to a multiple of it."""
        return int(self.stem_stride * 2 ** (len(self.channels) - 1))

    def capped(self, max_disparity: int | None) -> ModelConfig:
        """Return a copy with this max_disparity in px; None or 0 keeps the current one."""
        return replace(self, max_disparity=max_disparity or self.max_disparity)

    @property
    def matching_level(self) -> int:
        """Level whose decoder features are matched, at a quarter of the input resolution; 0 if no level is."""
        scales = [self.stem_stride * 2**level for level in range(len(self.channels))]
        return scales.index(MATCHING_STRIDE) + 1 if MATCHING_STRIDE in scales else 0

    @property
    def finest_parallax_stride(self) -> float:
        """Return the input px per column of the finest parallax attention; infinity without any."""
        return min((self.stem_stride * 2 ** (level - 1) for level in self.parallax_levels), default=math.inf)

    @property
    def receptive_field(self) -> int:
        """Height in px of what an output pixel can depend on through convolutions alone.

        External attention and the rain gate add statistics of the whole image, parallax attention the row in its reach.
        """
        return max(self._rows_seen(row) for row in range(self.stride))

    def _rows_seen(self, row: int) -> int:
        """Follow the convolutions back from one output row: 3x3, one per block, one per down and up, first and last.

        Matching and fusion lie behind them: 5x5 on cells, one per fusion block, three of matching with dilations 1, 2
        and 4, the vote of 3x3 cells and the bilinear map between.
        """
        low = high = row
        if self.matching_channels:
            cell, cells = row // MATCHING_STRIDE, 2 * self.fusion_blocks + 1 + 1 + 2 * (1 + 2 + 4)
            low, high = (cell - cells) * MATCHING_STRIDE, (cell + cells + 1) * MATCHING_STRIDE - 1
        low, high = low // self.stem_stride - 1, high // self.stem_stride + 1
        for blocks in self.decoder_blocks:
            low, high = (low - blocks) // 2 - 1, (high + blocks) // 2 + 1
        low, high = low - self.encoder_blocks[-1], high + self.encoder_blocks[-1]
        for blocks in reversed(self.encoder_blocks[:-1]):
            low, high = 2 * low - 1 - blocks, 2 * high + 2 + blocks
        return (high - low + 3) * self.stem_stride

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ModelConfig:
        """Build from plain values, refusing keys that do not exist.

        Args:
            values: result of `to_dict`.

        Returns:
            The config.

        Raises:
            ValueError: an unknown key; the message names the nearest valid one.
        """
        known = [field.name for field in fields(cls)]
        for key in values:
            if key not in known:
                nearest = difflib.get_close_matches(key, known, n=1, cutoff=0)[0]
                raise ValueError(f"unknown model config key {key!r}: did you mean {nearest!r}?")
        plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**plain)


PRESETS: dict[str, ModelConfig] = {
    # The network of the paper: 8,013,443 parameters. The paper counts 17.98 GMAC for a 128x128 pair; `apanet info`
    # counts 18.84, with causal attention as if it were dense.
    "paper": ModelConfig(),
    # U-Nets with APAM in their blocks, as published, which does not find the match: for single images, and where a
    # quarter of the time counts more than the other view. docs/decisions/003-presets.md, 028-stereo-by-default.md.
    "tiny-mono": ModelConfig(
        stem_stride=4,
        channels=(48, 64, 96),
        encoder_blocks=(2, 2, 4),
        decoder_blocks=(2, 2),
        external_attention_levels=(2, 3),
        parallax_levels=(2, 3),
        max_disparity=192,
        coring=3.0,
    ),
    # The same idea from half resolution on.
    "small-mono": ModelConfig(
        stem_stride=2,
        channels=(32, 64, 96, 128),
        encoder_blocks=(1, 2, 3, 4),
        decoder_blocks=(1, 2, 3),
        external_attention_levels=(3, 4),
        parallax_levels=(3, 4),
        max_disparity=192,
        coring=4.0,
    ),
}
# With parallax matching instead of APAM in the blocks: docs/network.md. `tiny` is for CPUs, `small` for graphics cards.
PRESETS["tiny"] = replace(
    PRESETS["tiny-mono"],
    parallax_levels=(),
    matching_channels=32,
    fusion_channels=48,
    fusion_blocks=1,
    gate_channels=32,
)
PRESETS["small"] = replace(
    PRESETS["small-mono"],
    parallax_levels=(),
    matching_channels=48,
    fusion_channels=64,
    fusion_blocks=2,
    gate_channels=32,
)
# For training on graphics cards; comes without weights.
PRESETS["base"] = ModelConfig(
    stem_stride=2,
    channels=(64, 96, 128, 192),
    encoder_blocks=(1, 2, 4, 6),
    decoder_blocks=(1, 2, 4),
    external_attention_levels=(3, 4),
    parallax_levels=(),
    max_disparity=192,
    coring=4.0,
    matching_channels=64,
    fusion_channels=96,
    fusion_blocks=2,
    gate_channels=32,
)


def preset(name: str) -> ModelConfig:
    """Look up a preset.

    Args:
        name: a key of `PRESETS`.

    Returns:
        Its config.

    Raises:
        ValueError: no such preset; the message lists the presets.
    """
    if name not in PRESETS:
        raise ValueError(f"unknown preset {name!r}: choose one of {', '.join(sorted(PRESETS))}, or a .safetensors path")
    return PRESETS[name]
