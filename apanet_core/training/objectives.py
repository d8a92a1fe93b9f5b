"""What a training step minimises: the supervised loss, or that and Single-to-Stereo distillation."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from apanet_core.model.checkpoint import load_model
from apanet_core.training.config import DistillationConfig, TrainConfig
from apanet_core.training.features import EncoderFeatures, VGG19Features, contrast
from apanet_core.training.losses import check_weights, dark_channel, total_variation, weighted_losses

Batch = dict[str, torch.Tensor]
# (network, batch) -> the loss and its terms before their weights
Objective = Callable[[nn.Module, Batch], tuple[torch.Tensor, dict[str, torch.Tensor]]]


def build_objective(config: TrainConfig, device: torch.device) -> Objective:
    """The objective that `config` asks for, what it needs on `device`."""
    if config.distillation is None:
        return Supervised(config.losses)
    return Distillation(config.losses, config.distillation, device)


class Supervised:
    """Both derained views against the clean ones.

    Args:
        losses: weight of every term.

    Raises:
        ValueError: a term that does not exist, or none.
    """

    def __init__(self, losses: dict[str, float]) -> None:
        check_weights(losses)
        self.losses = losses

    def __call__(self, network: nn.Module, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Derain `rainy_left`, `rainy_right` and compare with `clean_left`, `clean_right`: (B, 3, H, W) uint8."""
        derained = torch.cat(network(to_float32(batch["rainy_left"]), to_float32(batch["rainy_right"])))
        clean = torch.cat([to_float32(batch["clean_left"]), to_float32(batch["clean_right"])])
        return weighted_losses(derained, clean, self.losses)


class Distillation:
    """Single-to-Stereo: the supervised loss on synthetic pairs, and on real pairs what a single-image teacher knows.

    The teacher sees each real view alone, as a pair with zero disparity. The student's result should have little
    variation and a dark dark channel, and lie nearer to the teacher's result than to the rainy view in feature space.
    Source: APANet, second stage. Its features are VGG19's; here the teacher's own encoder is the default.

    Args:
        losses: weights of the supervised terms.
        config: the teacher and the weights of the terms on real pairs.
        device: where the teacher runs.
    """

    def __init__(self, losses: dict[str, float], config: DistillationConfig, device: torch.device) -> None:
        self.supervised = Supervised(losses)
        self.config = config
        self.teacher = load_model(config.teacher).requires_grad_(False).to(device)
        features = VGG19Features(config.vgg19) if config.vgg19 is not None else EncoderFeatures(self.teacher)
        self.features = features.to(device).eval()

    def __call__(self, network: nn.Module, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """As `Supervised`, with `real_left`, `real_right` (B, 3, H, W) uint8 besides."""
        loss, terms = self.supervised(network, batch)
        left, right = to_float32(batch["real_left"]), to_float32(batch["real_right"])
        derained_views = network(left, right)
        real = {name: loss.new_zeros(()) for name in ("total_variation", "dark_channel", "contrastive")}
        for rainy, derained in zip((left, right), derained_views):
            with torch.no_grad():
                taught = self.teacher(rainy, rainy)[0].clamp(0, 1)
                references = self.features(taught), self.features(rainy)
            real["total_variation"] = real["total_variation"] + total_variation(derained)
            real["dark_channel"] = real["dark_channel"] + dark_channel(derained)
            real["contrastive"] = real["contrastive"] + contrast(self.features(derained), *references)
        for name, term in real.items():
            loss = loss + getattr(self.config, name) * term
        return loss, terms | {name: term.detach() for name, term in real.items()}


def to_float32(image: torch.Tensor) -> torch.Tensor:
    """uint8 0..255 -> float32 in [0, 1]."""
    return image.float() / 255
