"""The network with uint8 images in and out, and coring, which keeps a dry view unchanged (docs/decisions/013)."""

from __future__ import annotations

import torch
from torch import nn

from apanet_core.model.network import APANet

# A view with less contrast than this (standard deviation of its strongest channel, of 255) shows nothing: a covered
# lens, a dead camera. Sensor noise stays below it, scenes in daylight are at 20 and more.
BLANK = 4.0

# Left and right view, and the mean absolute change before coring, for images in [0, 1]: not finite if any value is not.
ViewsAndChange = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def apply_coring(rainy: torch.Tensor, derained: torch.Tensor, coring: float) -> torch.Tensor:
    """Shrink small changes, and those of a dry view to none; keep large ones.

    A change c becomes c^3 / (c^2 + k^2), where k = coring max(1/2, coring^2 / |mean of c |c||) for each view. Rain adds
    light, so removing it changes a view in one direction; texture that is mistaken for rain changes in both.

    Args:
        rainy: views, (B, 3, H, W) float.
        derained: the views after the network, of the same shape.
        coring: `ModelConfig.coring` on the scale of the views.

    Returns:
        The views, of the same shape.
    """
    change = derained.clamp(-1, 2) - rainy
    directed = (change * change.abs()).mean(dim=(1, 2, 3), keepdim=True).abs()
    k = coring * (coring**2 / directed.clamp_min(1e-9)).clamp_min(0.5)
    return rainy + change * (change.square() / (change.square() + k.square()))


class Uint8Derainer(nn.Module):
    """Scale, derain, core, clip and round where the network runs, in float32.

    Args:
        network: in eval mode.
    """

    def __init__(self, network: APANet) -> None:
        super().__init__()
        self.network = network

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> ViewsAndChange:
        """Derain one pair, (H, W, 3) uint8 RGB each; the change is a scalar."""
        clean_left, clean_right, change = self._derain(as_batch(left), as_batch(right))
        clean_left, clean_right = (_to_bytes(view)[0].permute(1, 2, 0) for view in (clean_left, clean_right))
        return clean_left, clean_right, change[0]

    def derain_batch(self, left: torch.Tensor, right: torch.Tensor) -> ViewsAndChange:
        """Derain B pairs, (B, 3, H, W) each, uint8 or float RGB in [0, 1].

        The results have the dtype of the input; the change is (B,).
        """
        to_float = left.dtype == torch.uint8
        views = [view.float() / 255 if to_float else view.float() for view in (left, right)]
        clean_left, clean_right, change = self._derain(views[0], views[1])
        if to_float:
            return _to_bytes(clean_left), _to_bytes(clean_right), change
        return clean_left.clamp(0, 1).to(left.dtype), clean_right.clamp(0, 1).to(left.dtype), change

    def _derain(self, left: torch.Tensor, right: torch.Tensor) -> ViewsAndChange:
        left_is_blank, right_is_blank = one_is_blank(left, right)
        # a blank partner can hurt: its view is given twice instead, and the blank one comes out as it is
        derained_left, derained_right = self.network(
            torch.where(left_is_blank, right, left), torch.where(right_is_blank, left, right)
        )
        derained_left = torch.where(left_is_blank, left, derained_left)
        derained_right = torch.where(right_is_blank, right, derained_right)
        change = ((derained_left - left).abs() + (derained_right - right).abs()).mean(dim=(1, 2, 3)) / 2
        if coring := self.network.config.coring / 255:
            derained_left = apply_coring(left, derained_left, coring)
            derained_right = apply_coring(right, derained_right, coring)
        return derained_left, derained_right, change


def as_batch(view: torch.Tensor) -> torch.Tensor:
    """Convert a view: (H, W, 3) uint8 to (1, 3, H, W) float in [0, 1]."""
    return view.permute(2, 0, 1)[None].float() / 255


def one_is_blank(left: torch.Tensor, right: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return for each pair whether the left view, and whether the right view, is the only blank one.

    Args:
        left: (B, 3, H, W) float in [0, 1].
        right: of the same shape.

    Returns:
        Two (B, 1, 1, 1) bool. Both are False if both views are blank, as at night.
    """
    left_is_blank, right_is_blank = (
        view.var(dim=(2, 3), correction=0).amax(dim=1)[:, None, None, None] < (BLANK / 255) ** 2
        for view in (left, right)
    )
    return left_is_blank & ~right_is_blank, right_is_blank & ~left_is_blank


def _to_bytes(image: torch.Tensor) -> torch.Tensor:
    return (image.clamp(0, 1) * 255).round().to(torch.uint8)
