"""LPIPS: the perceptual distance of two images, from the features of AlexNet.

The library downloads nothing: AlexNet's ImageNet weights are a file that the user has, in torchvision's naming
(`alexnet-owt-7be5be79.pth`). The linear layers on top, 1152 numbers by the authors of LPIPS, come with torchmetrics.

Source: Zhang et al. 2018, version 0.1 of their code, network "alex".
"""

from __future__ import annotations

from pathlib import Path

import torch
import torchmetrics.functional.image as torchmetrics_image
from torch import nn

from apanet_core.model.torch_file import read_tensors

# Convolutions of AlexNet's `features`: index in the Sequential, channels in and out, kernel, stride, padding.
CONVOLUTIONS = ((0, 3, 64, 11, 4, 2), (3, 64, 192, 5, 1, 2), (6, 192, 384, 3, 1, 1), (8, 384, 256, 3, 1, 1),
                (10, 256, 256, 3, 1, 1))  # fmt: skip
POOLED_BEFORE = (3, 6)
SMALLEST_SIDE_PX = 31  # below, the second pooling has nothing left
# ImageNet's mean and deviation as seen from [-1, 1]
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)


class LPIPS(nn.Module):
    """Distance of two images: 0 for equal ones, about 0.7 for unrelated ones.

    Args:
        backbone: AlexNet's weights, a .pth file in torchvision's naming.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file holds no AlexNet; the message names what is missing or has another shape.
    """

    def __init__(self, backbone: Path) -> None:
        super().__init__()
        linear = Path(torchmetrics_image.__file__).parent / "lpips_models/alex.pth"
        heads = torch.load(linear, map_location="cpu", weights_only=True)
        self.convolutions, self.linear = nn.ModuleList(), nn.ModuleList()
        features = read_tensors(Path(backbone))
        try:
            for level, (index, c_in, c_out, kernel, stride, padding) in enumerate(CONVOLUTIONS):
                convolution = nn.Conv2d(c_in, c_out, kernel, stride, padding)
                convolution.load_state_dict({k: features[f"features.{index}.{k}"] for k in ("weight", "bias")})
                head = nn.Conv2d(c_out, 1, 1, bias=False)
                head.load_state_dict({"weight": heads[f"lin{level}.model.1.weight"]})
                self.convolutions.append(convolution)
                self.linear.append(head)
        except (KeyError, RuntimeError) as error:
            raise ValueError(f"{backbone} does not hold AlexNet's weights in torchvision's naming: {error}") from error
        self.requires_grad_(False).eval()

    def forward(self, image: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) RGB in [0, 1], H and W from 31 up -> (B,)."""
        scale, shift = image.new_tensor(SCALE)[:, None, None], image.new_tensor(SHIFT)[:, None, None]
        x = (2 * torch.cat([image, reference]) - 1 - shift) / scale
        distance = image.new_zeros(len(image))
        for (index, *_), convolution, head in zip(CONVOLUTIONS, self.convolutions, self.linear):
            x = nn.functional.max_pool2d(x, 3, 2) if index in POOLED_BEFORE else x
            x = convolution(x).relu()
            direction = x / (x.square().sum(dim=1, keepdim=True) + 1e-8).sqrt()
            first, second = direction.chunk(2)
            distance = distance + head((first - second).square()).mean(dim=(1, 2, 3))
        return distance
