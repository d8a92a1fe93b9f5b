"""Training objectives: supervised on pairs, and distillation on real rain."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from math import nan
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from apanet_core.model.checkpoint import load_model
from apanet_core.model.layers import pad_to_multiple
from apanet_core.model.network import Derained
from apanet_core.training.config import DistillationConfig, MatchingConfig, TrainConfig
from apanet_core.training.features import EncoderFeatures, VGG19Features, contrast
from apanet_core.training.losses import charbonnier, check_weights, dark_channel, total_variation, weighted_losses
from apanet_core.training.match_losses import match_losses, photometric_losses

Batch = dict[str, torch.Tensor]
# (network, batch) -> the loss, and its terms without their weights
Objective = Callable[[nn.Module, Batch], tuple[torch.Tensor, dict[str, torch.Tensor]]]


def build_objective(
    config: TrainConfig, device: torch.device, autocast: Callable[[], AbstractContextManager[Any]] = nullcontext
) -> Objective:
    """Return the objective of `config`, with its networks on `device`, which run in `autocast`."""
    supervised = Supervised(config.losses, config.matching)
    if config.distillation is None:
        return supervised
    return Distillation(supervised, config.distillation, device, autocast)


class Supervised:
    """The loss between derained and clean views; for a network that matches its views, also that of its matches.

    Args:
        losses: weight of each term.
        matching: weights of the terms of the matching.

    Raises:
        ValueError: a name in `losses` is unknown, or it is empty.
    """

    def __init__(self, losses: dict[str, float], matching: MatchingConfig | None = None) -> None:
        check_weights(losses)
        self.losses = losses
        self.matching = matching or MatchingConfig()

    def __call__(self, network: nn.Module, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Derain `rainy_left`, `rainy_right` and compare with `clean_left`, `clean_right`: (B, 3, H, W) uint8.

        Optional entries of the batch: `left_disparity` and `right_disparity`, (B, H, W) float32 px, NaN for a pixel
        without a match, train the matching; `left_judged` and `right_judged`, (B,), are 0 for views that do not count
        in the loss.
        """
        clean = both(batch, "clean_{}")
        if not _matches(network):
            left, right = network(to_float32(batch["rainy_left"]), to_float32(batch["rainy_right"]))
            return weighted_losses(_judged(torch.cat([left, right]), clean, batch), clean, self.losses)
        rainy = both(batch, "rainy_{}")
        height, width = rainy.shape[2:]
        stride: int = network.config.stride  # type: ignore[union-attr, assignment]
        result = _derain(network, rainy)
        derained, estimate = (
            _judged(views[..., :height, :width].float(), clean, batch) for views in (result.derained, result.estimate)
        )
        loss, terms = weighted_losses(derained, clean, self.losses)
        more = {"estimate": charbonnier(estimate, clean)}
        assert result.match is not None
        if "left_disparity" in batch:
            disparity = torch.cat([batch["left_disparity"], batch["right_disparity"]])
            padded = F.pad(disparity, (0, -width % stride, 0, -height % stride), value=nan)
            more |= match_losses(result.match, padded)
        elif network.config.parallax_mask:  # type: ignore[union-attr]
            more |= photometric_losses(result.match, pad_to_multiple(clean, stride))
        for name, term in more.items():
            loss = loss + getattr(self.matching, name) * term
        return loss, terms | {name: term.detach() for name, term in more.items()}


def both(batch: Batch, name: str) -> torch.Tensor:
    """Return the views `name`, in which {} stands for the side: (2 B, 3, H, W) float32 in [0, 1], left ones first."""
    return torch.cat([to_float32(batch[name.format(side)]) for side in ("left", "right")])


def _matches(network: nn.Module) -> bool:
    return getattr(network, "matching", None) is not None


def _derain(network: nn.Module, rainy: torch.Tensor) -> Derained:
    """Pad and derain stacked views; the results have the padded size."""
    result: Derained = network.derain(pad_to_multiple(rainy, network.config.stride))  # type: ignore[operator, union-attr, arg-type]
    return result


def is_judged(batch: Batch) -> torch.Tensor:
    """Return which of the stacked views count, (2 B,) bool, left ones first; a covered view does not."""
    if "left_judged" not in batch:
        return torch.ones(2 * len(batch["clean_left"]), dtype=torch.bool, device=batch["clean_left"].device)
    return torch.cat([batch["left_judged"], batch["right_judged"]]) > 0


def _judged(views: torch.Tensor, clean: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Return `views` with the clean ones substituted for those that do not count in the loss."""
    if "left_judged" not in batch:
        return views
    return torch.where(is_judged(batch)[:, None, None, None], views, clean)


class Distillation:
    """Single-to-Stereo: the supervised loss on synthetic pairs, and a single-image teacher's guidance on real pairs.

    The teacher gets each real view as a pair with zero disparity. The student's result should have little variation
    and a dark dark channel, and be nearer to the teacher's result than to the rainy view in feature space.
    Source: APANet, second stage, with features of VGG19; here the teacher's own encoder is the default.

    Args:
        supervised: the loss on synthetic pairs.
        config: the teacher and the weights of the terms on real pairs.
        device: device of the teacher.
        autocast: precision of the teacher and the features.
    """

    def __init__(
        self,
        supervised: Supervised,
        config: DistillationConfig,
        device: torch.device,
        autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        self.supervised = supervised
        self.config = config
        self.teacher = load_model(config.teacher).requires_grad_(False).to(device)
        features = VGG19Features(config.vgg19) if config.vgg19 is not None else EncoderFeatures(self.teacher)
        self.features = features.to(device).eval()
        self.autocast = autocast

    def __call__(self, network: nn.Module, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Add the loss on `real_left` and `real_right`, (B, 3, H, W) uint8, to that of `Supervised`."""
        loss, terms = self.supervised(network, batch)
        left, right = to_float32(batch["real_left"]), to_float32(batch["real_right"])
        matches = _matches(network) and network.config.parallax_mask  # type: ignore[union-attr]
        if matches:
            height, width = left.shape[2:]
            result = _derain(network, torch.cat([left, right]))
            derained_views = result.derained[..., :height, :width].chunk(2)
        else:
            derained_views = network(left, right)
        real = {name: loss.new_zeros(()) for name in ("total_variation", "dark_channel", "contrastive")}
        for rainy, derained in zip((left, right), derained_views):
            with torch.no_grad():
                with self.autocast():
                    taught = self.teacher(rainy, rainy)[0]
                references = self._features(taught.float().clamp(0, 1)), self._features(rainy)
            real["total_variation"] = real["total_variation"] + total_variation(derained)
            real["dark_channel"] = real["dark_channel"] + dark_channel(derained)
            real["contrastive"] = real["contrastive"] + contrast(self._features(derained), *references)
        if matches:
            assert result.match is not None
            for name, term in photometric_losses(result.match, result.derained.detach().float()).items():
                loss = loss + getattr(self.supervised.matching, name) * term
        for name, term in real.items():
            loss = loss + getattr(self.config, name) * term
        return loss, terms | {name: term.detach() for name, term in real.items()}

    def _features(self, views: torch.Tensor) -> list[torch.Tensor]:
        with self.autocast():
            features = self.features(views)
        return [level.float() for level in features]


def to_float32(image: torch.Tensor) -> torch.Tensor:
    """Convert uint8 0..255 to float32 in [0, 1]."""
    return image.float() / 255
