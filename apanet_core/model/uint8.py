"""The network between bytes: uint8 in, uint8 out, and coring, which keeps a dry pair as it is (docs/decisions/013)."""

from __future__ import annotations

import torch
from torch import nn

from apanet_core.model.network import APANet

Pair = tuple[torch.Tensor, torch.Tensor]


def apply_coring(rainy: Pair, derained: Pair, coring: float) -> Pair:
    """Shrink small changes towards none, those of a dry pair altogether; of larger ones little is lost.

    A change c becomes c^3 / (c^2 + k^2), where k = coring max(1/2, coring^2 / |mean of c |c||): rain adds light, so
    taking it away goes one way, where texture that is mistaken for rain is made darker here and brighter there.

    Args:
        rainy: both views, (1, 3, H, W) float.
        derained: both views after the network, of the same shapes.
        coring: `ModelConfig.coring` on the scale of the views.

    Returns:
        Both views, of the same shapes.
    """
    changes = [after.clamp(-1, 2) - before for before, after in zip(rainy, derained)]  # an overflow stays a number
    one_way = torch.stack([(change * change.abs()).mean() for change in changes]).mean().abs()
    k = coring * (coring**2 / one_way.clamp_min(1e-9)).clamp_min(0.5)
    left, right = (c * (c.square() / (c.square() + k.square())) for c in changes)
    return rainy[0] + left, rainy[1] + right


class Uint8Derainer(nn.Module):
    """The network between two bytes: scale, derain, clip and round happen where the network runs, in float32."""

    def __init__(self, network: APANet) -> None:
        super().__init__()
        self.network = network

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """left, right: (H, W, 3) uint8 -> the same."""
        views = _to_float(left), _to_float(right)
        derained = self.network(*views)
        if self.network.config.coring:
            derained = apply_coring(views, derained, self.network.config.coring / 255)
        return _to_bytes(derained[0]), _to_bytes(derained[1])


def _to_float(view: torch.Tensor) -> torch.Tensor:
    return view.permute(2, 0, 1)[None].float() / 255


def _to_bytes(image: torch.Tensor) -> torch.Tensor:
    return (image[0].clamp(0, 1) * 255).round().permute(1, 2, 0).to(torch.uint8)
