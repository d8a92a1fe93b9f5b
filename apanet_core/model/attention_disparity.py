"""The disparity that parallax attention implies: where a left pixel looks."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from apanet_core.model.network import APANet
from apanet_core.model.parallax_attention import ParallaxAttention
from apanet_core.model.parallax_matching import Match


class AttentionDisparity:
    """Reads the disparity of the left view from the parallax attention of a network, with a forward hook.

    A network with parallax matching gives the disparity of its matches. Another one gives the expected position under
    the attention of the finest APAM that runs last. Without an instance nothing is computed.

    Args:
        network: has parallax matching, or parallax attention at some level.

    Raises:
        ValueError: the network has neither.
    """

    def __init__(self, network: APANet) -> None:
        self._reader: _MatchReader | _AttentionReader
        if network.matching is not None:
            self._reader = _MatchReader(network.matching)
        elif network.config.parallax_levels:
            self._reader = _AttentionReader(network)
        else:
            raise ValueError("this model has no parallax attention: no disparity can be read off it")

    def close(self) -> None:
        """Remove the hook."""
        self._reader.hook.remove()

    @torch.inference_mode()
    def read(self, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the disparity of the pair that the network processed last.

        Args:
            height: rows of the views.
            width: columns of the views.

        Returns:
            Disparity of the left view in px, and its confidence in [0, 1]: attention within a bin of the match,
            times the share of the matches around that lead back; of a network without matching 1 / (1 + standard
            deviation of the attention in columns). Both (H, W) float32.
        """
        disparity, confidence = self._reader.read()
        return disparity[:height, :width], confidence[:height, :width]


class _MatchReader:
    def __init__(self, matching: torch.nn.Module) -> None:
        self._last: Match | None = None
        self.hook = matching.register_forward_hook(self._keep)

    def _keep(self, module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], match: Match) -> None:
        self._last = match

    def read(self) -> tuple[torch.Tensor, torch.Tensor]:
        assert self._last is not None
        disparity = self._last.disparity[0, 0].clamp(min=0)
        confidence = (self._last.confidence * self._last.agreement)[:1]
        confidence = F.interpolate(confidence, disparity.shape, mode="bilinear")[0, 0]
        return disparity, confidence


class _AttentionReader:
    def __init__(self, network: APANet) -> None:
        self._stride = int(network.config.finest_parallax_stride)
        self._module = _last_of_finest_level(network)
        self._strips: list[tuple[torch.Tensor, ...]] = []
        self.hook = self._module.register_forward_pre_hook(lambda _, views: self._strips.append(views))

    def read(self) -> tuple[torch.Tensor, torch.Tensor]:
        left, right = (torch.cat(views, dim=2) for views in zip(*self._strips))
        self._strips.clear()
        columns, deviation = self._module.match(left, right)
        maps = torch.stack([columns * self._stride, 1 / (1 + deviation)])[None]
        size = (columns.shape[0] * self._stride, columns.shape[1] * self._stride)
        disparity, confidence = F.interpolate(maps, size, mode="bilinear")[0]
        return disparity, confidence


def _last_of_finest_level(network: APANet) -> ParallaxAttention:
    """Return the last decoder block of the finest level with APAM; the latent's if only it has one."""
    finest = min(network.config.parallax_levels)
    levels = [*network.decoder, network.encoder[-1]]  # finest first, the latent last
    modules = [m for m in levels[finest - 1].modules() if isinstance(m, ParallaxAttention)]
    return modules[-1]
