"""The disparity that parallax attention implies: where, on average, a left pixel looks."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from apanet_core.model.network import APANet
from apanet_core.model.parallax_attention import ParallaxAttention


class AttentionDisparity:
    """Listens to the finest APAM that runs last, and reads the expected match position off it.

    Nothing is computed unless asked for: while no instance listens, the network is as it was.

    Args:
        network: has parallax attention at some level.

    Raises:
        ValueError: the network has no parallax attention.
    """

    def __init__(self, network: APANet) -> None:
        if not network.config.parallax_levels:
            raise ValueError("this model has no parallax attention: no disparity can be read off it")
        self._stride = int(network.config.finest_parallax_stride)
        self._module = _last_of_finest_level(network)
        self._strips: list[tuple[torch.Tensor, ...]] = []
        self._hook = self._module.register_forward_pre_hook(lambda _, views: self._strips.append(views))

    def close(self) -> None:
        """Stop listening."""
        self._hook.remove()

    @torch.inference_mode()
    def read(self, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Disparity of the pair that the network saw last.

        Args:
            height: of the views, px.
            width: likewise.

        Returns:
            Disparity of the left view in px, and its confidence in (0, 1]: 1 / (1 + standard deviation of the match in
            columns of the attention). Both (H, W) float32.
        """
        left, right = (torch.cat(views, dim=2) for views in zip(*self._strips))
        self._strips.clear()
        columns, deviation = self._module.match(left, right)
        maps = torch.stack([columns * self._stride, 1 / (1 + deviation)])[None]
        size = (columns.shape[0] * self._stride, columns.shape[1] * self._stride)
        disparity, confidence = F.interpolate(maps, size, mode="bilinear")[0, :, :height, :width]
        return disparity, confidence


def _last_of_finest_level(network: APANet) -> ParallaxAttention:
    """The decoder's last block of the finest level that has APAM, or the latent's where only that has it."""
    finest = min(network.config.parallax_levels)
    levels = [*network.decoder, network.encoder[-1]]  # finest first, the latent last
    modules = [m for m in levels[finest - 1].modules() if isinstance(m, ParallaxAttention)]
    return modules[-1]
