"""The network between bytes: uint8 in, uint8 out, and coring, which keeps a dry pair unchanged (docs/decisions/013)."""

from __future__ import annotations

import torch
from torch import nn

from apanet_core.model.network import APANet

Pair = tuple[torch.Tensor, torch.Tensor]


# Left, right, and the mean change before coring, on a scale of [0, 1]: not finite where a value of the network is not.
Derained = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def apply_coring(rainy: Pair, derained: Pair, coring: float) -> Pair:
    """Shrink small changes, and those of a dry pair to none; keep large ones.

    A change c becomes c^3 / (c^2 + k^2), where k = coring max(1/2, coring^2 / |mean of c |c||) for each pair. Rain adds
    light, so removing it changes a pair in one direction; texture that is mistaken for rain changes in both.

    Args:
        rainy: both views, (B, 3, H, W) float.
        derained: both views after the network, of the same shapes.
        coring: `ModelConfig.coring` on the scale of the views.

    Returns:
        Both views, of the same shapes.
    """
    changes = [after.clamp(-1, 2) - before for before, after in zip(rainy, derained)]
    means = [(change * change.abs()).mean(dim=(1, 2, 3), keepdim=True) for change in changes]
    one_way = torch.stack(means).mean(dim=0).abs()
    k = coring * (coring**2 / one_way.clamp_min(1e-9)).clamp_min(0.5)
    left, right = (c * (c.square() / (c.square() + k.square())) for c in changes)
    return rainy[0] + left, rainy[1] + right


class Uint8Derainer(nn.Module):
    """Scale, derain, core, clip and round where the network runs, in float32.

    Args:
        network: what derains.
    """

    def __init__(self, network: APANet) -> None:
        super().__init__()
        self.network = network

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> Derained:
        """Derain one pair, (H, W, 3) uint8 RGB each; the change is a scalar."""
        views = [view.permute(2, 0, 1)[None].float() / 255 for view in (left, right)]
        clean_left, clean_right, change = self._derain(views[0], views[1])
        clean_left, clean_right = (_to_bytes(view)[0].permute(1, 2, 0) for view in (clean_left, clean_right))
        return clean_left, clean_right, change[0]

    def derain_batch(self, left: torch.Tensor, right: torch.Tensor) -> Derained:
        """Derain B pairs, (B, 3, H, W) each, uint8 or float RGB in [0, 1].

        The results have the dtype of the input; the change is (B,).
        """
        to_float = left.dtype == torch.uint8
        views = [view.float() / 255 if to_float else view.float() for view in (left, right)]
        clean_left, clean_right, change = self._derain(views[0], views[1])
        if to_float:
            return _to_bytes(clean_left), _to_bytes(clean_right), change
        return clean_left.clamp(0, 1).to(left.dtype), clean_right.clamp(0, 1).to(left.dtype), change

    def _derain(self, left: torch.Tensor, right: torch.Tensor) -> Derained:
        derained = self.network(left, right)
        change = sum((after - before).mean(dim=(1, 2, 3)) for before, after in zip((left, right), derained)) / 2
        if self.network.config.coring:
            derained = apply_coring((left, right), derained, self.network.config.coring / 255)
        return derained[0], derained[1], change


def _to_bytes(image: torch.Tensor) -> torch.Tensor:
    return (image.clamp(0, 1) * 255).round().to(torch.uint8)
