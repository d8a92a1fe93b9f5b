"""Features in which derained real views are compared with the teacher's result."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from apanet_core.model.imagenet import imagenet_layers
from apanet_core.model.layers import pad_to_multiple
from apanet_core.model.network import APANet

VGG19_TAPS = (1, 6, 11, 20, 29)  # relu1_1, relu2_1, relu3_1, relu4_1, relu5_1, as indices of the sequence
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class EncoderFeatures(nn.Module):
    """Features of single images from the encoder of a deraining network, one tensor a level.

    Args:
        network: the teacher; frozen.
    """

    def __init__(self, network: APANet) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """Return the features of every level, finest first, for (B, 3, H, W) in [0, 1]."""
        padded = pad_to_multiple(image, self.network.config.stride)
        # a single image is a pair with zero disparity; the left half of the result is taken
        return [level.chunk(2)[0] for level in self.network.encode(torch.cat([padded, padded]))]


class VGG19Features(nn.Module):
    """Features relu1_1 to relu5_1 of VGG19, which the published distillation compares.

    Args:
        weights: state dict of torchvision's `vgg19`.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: a tensor is missing or has another shape.
    """

    def __init__(self, weights: Path) -> None:
        super().__init__()
        self.layers = imagenet_layers("vgg19", weights, VGG19_TAPS[-1])
        self.mean: torch.Tensor
        self.std: torch.Tensor
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN)[:, None, None])
        self.register_buffer("std", torch.tensor(IMAGENET_STD)[:, None, None])

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """Return the features of the five layers, finest first, for (B, 3, H, W) in [0, 1]."""
        x = (image - self.mean) / self.std
        features = []
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index in VGG19_TAPS:
                features.append(x)
        return features


def contrast(derained: list[torch.Tensor], teacher: list[torch.Tensor], rainy: list[torch.Tensor]) -> torch.Tensor:
    """Return the ratio of the distances to the teacher's and to the rainy features, a weighted sum over the levels.

    Source: APANet, distillation; weights 1/32, 1/16, 1/8, 1/4, 1 for five levels.
    """
    weights = (*(0.5 ** (level + 1) for level in range(len(derained) - 1, 0, -1)), 1.0)
    terms = [
        weight * F.l1_loss(d, t) / (F.l1_loss(d, r) + 1e-7)
        for weight, d, t, r in zip(weights, derained, teacher, rainy)
    ]
    return torch.stack(terms).sum()
