"""Small changes are left out of what the derainer returns, so that a dry pair stays as it is: docs/decisions/013."""

from __future__ import annotations

import torch

Pair = tuple[torch.Tensor, torch.Tensor]


def cored(rainy: Pair, derained: Pair, coring: float) -> Pair:
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
