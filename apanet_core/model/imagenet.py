"""The convolutional layers of ImageNet classifiers, for losses and metrics in their features.

torchvision builds them if it is installed; this module builds the same layers if not (not every torch has a
torchvision). Nothing is downloaded: the user names the file of the weights.

Source: torchvision, models.alexnet and models.vgg19 (configuration E of Simonyan & Zisserman 2015).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import nn

from apanet_core.model.torch_file import read_tensors

VGG19_WIDTHS = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, 256, "pool", 512, 512, 512, 512, "pool",
                512, 512, 512, 512, "pool")  # fmt: skip


def _alexnet() -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)),
    )


def _vgg19() -> nn.Sequential:
    layers: list[nn.Module] = []
    channels = 3
    for width in VGG19_WIDTHS:
        if isinstance(width, int):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        else:
            layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


BUILDERS: dict[str, Callable[[], nn.Sequential]] = {"alexnet": _alexnet, "vgg19": _vgg19}


def imagenet_layers(name: str, weights: Path, last: int) -> nn.Sequential:
    """Return the frozen layers of a classifier up to number `last`, numbered as in torchvision's `features`.

    Args:
        name: alexnet or vgg19.
        weights: state dict of torchvision's model (`features.N.weight`, `features.N.bias`).
        last: the last layer that is needed.

    Returns:
        (B, 3, H, W) normalised as ImageNet in; the features of layer `last` out.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a tensor is missing or has another shape.
    """
    try:
        from torchvision import models

        layers = getattr(models, name)(weights=None).features
    except (ImportError, RuntimeError):  # not installed, or built for another torch
        layers = BUILDERS[name]()
    layers = layers[: last + 1]
    tensors = read_tensors(Path(weights))
    for key, parameter in layers.named_parameters():
        found = tensors.get(f"features.{key}")
        if found is None or found.shape != parameter.shape:
            raise ValueError(
                f"{weights} is not torchvision's {name}: features.{key} should be {tuple(parameter.shape)}, "
                f"is {'missing' if found is None else tuple(found.shape)}"
            )
        parameter.data = found
    return layers.requires_grad_(False).eval()
