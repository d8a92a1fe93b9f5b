"""LPIPS: the perceptual distance of two images, from the features of AlexNet.

AlexNet's ImageNet weights are a file that the user provides, in torchvision's naming (`alexnet-owt-7be5be79.pth`);
nothing is downloaded. The linear layers on top, 1152 numbers by the authors of LPIPS, come with torchmetrics.

Source: Zhang et al. 2018, version 0.1 of their code, network "alex".
"""

from __future__ import annotations

from pathlib import Path

import torch
import torchmetrics.functional.image as torchmetrics_image
from torch import nn

from apanet_core.model.imagenet import imagenet_layers

TAPS = (1, 4, 7, 9, 11)  # ReLU behind each convolution of AlexNet's `features`, by index
SMALLEST_SIDE_PX = 31  # with less, the second pooling has no input
# ImageNet's mean and deviation, for images in [-1, 1]
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)


class LPIPS(nn.Module):
    """Distance of two images: 0 for equal ones, about 0.7 for unrelated ones.

    Args:
        backbone: AlexNet's weights, a .pth file in torchvision's naming.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is not AlexNet; the message names what is missing or has another shape.
    """

    def __init__(self, backbone: Path) -> None:
        super().__init__()
        linear = Path(torchmetrics_image.__file__).parent / "lpips_models/alex.pth"
        heads = torch.load(linear, map_location="cpu", weights_only=True)
        self.layers = imagenet_layers("alexnet", backbone, TAPS[-1])
        self.linear = [heads[f"lin{level}.model.1.weight"] for level in range(len(TAPS))]  # (1, C, 1, 1) each

    def forward(self, image: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
        """Return the distances (B,) of images (B, 3, H, W) RGB in [0, 1], with H and W at least 31."""
        scale, shift = image.new_tensor(SCALE)[:, None, None], image.new_tensor(SHIFT)[:, None, None]
        x = (2 * torch.cat([image, reference]) - 1 - shift) / scale
        distance = image.new_zeros(len(image))
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index in TAPS:
                direction = x / (x.square().sum(dim=1, keepdim=True) + 1e-8).sqrt()
                first, second = direction.chunk(2)
                weights = self.linear[TAPS.index(index)].to(x)
                distance = distance + ((first - second).square() * weights).sum(dim=1).mean(dim=(1, 2))
        return distance
