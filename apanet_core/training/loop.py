"""The training loop: one for every objective and data set, resumable at any step."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.loggers import TensorBoardLogger
from torch.utils.data import DataLoader, Dataset, Sampler
from tqdm import tqdm

from apanet_core.data.datasets import build_datasets
from apanet_core.evaluation.metrics import psnr
from apanet_core.model.checkpoint import load_model, load_tensors, save_checkpoint
from apanet_core.model.network import APANet
from apanet_core.training.config import TrainConfig
from apanet_core.training.losses import weighted_losses

Batch = dict[str, torch.Tensor]
HIGHEST_DB = 50.0  # a dry pair left as it is counts this much in a mean PSNR, not infinity


class EpochSampler(Sampler[int]):
    """Shuffled indices, one permutation per epoch, that can start at any sample of the run."""

    def __init__(self, length: int, first: int, total: int, seed: int) -> None:
        self.length, self.first, self.total, self.seed = length, first, total, seed

    def __len__(self) -> int:
        return self.total - self.first

    def __iter__(self) -> Iterator[int]:
        for epoch in range(self.first // self.length, math.ceil(self.total / self.length)):
            generator = torch.Generator().manual_seed(self.seed + epoch)
            order = torch.randperm(self.length, generator=generator).tolist()
            start = max(self.first - epoch * self.length, 0)
            yield from order[start : self.total - epoch * self.length]


def train(config: TrainConfig) -> Path:
    """Train a network.

    Args:
        config: the run.

    Returns:
        The checkpoint that was best on the validation split.

    Raises:
        FloatingPointError: the loss is not finite; the batch is saved beside the checkpoints.
    """
    config.out.mkdir(parents=True, exist_ok=True)
    logger = TensorBoardLogger(root_dir=config.out, name="", version="")
    fabric = Fabric(devices=1, precision=config.precision, loggers=logger)  # type: ignore[arg-type]
    fabric.launch()
    fabric.seed_everything(config.seed)

    network = APANet(config.model_config)
    if config.init is not None:
        load_tensors(network, load_model(config.init).state_dict(), config.init)
    averaged = copy.deepcopy(network).requires_grad_(False).eval().to(fabric.device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    trained: Any = torch.compile(network) if config.compile else network
    model, optimizer = fabric.setup(trained, optimizer)
    state: dict[str, Any] = {
        "model": network,
        "averaged": averaged,
        "optimizer": optimizer,
        "step": 0,
        "best": -math.inf,
    }
    last = config.out / "last.ckpt"
    if config.resume and last.exists():
        try:
            state |= fabric.load(last, {k: v for k, v in state.items() if k not in ("step", "best")})
        except (RuntimeError, KeyError) as error:
            raise ValueError(
                f"{last} is not a run of this model: choose another out, or resume false: {error}"
            ) from error

    training, validation = build_datasets(config.data, config.validation_pairs, config.seed)
    loader = _loader(training, config, first=state["step"] * config.batch_size, workers=config.data.workers)
    batches: Iterator[Batch] = iter(fabric.setup_dataloaders(loader, use_distributed_sampler=False))  # type: ignore
    bar = tqdm(total=config.steps, initial=state["step"], desc="train", unit="step", disable=not fabric.is_global_zero)
    for step in range(state["step"], config.steps):
        batch = next(batches)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, config)
        loss, terms = supervised_loss(model, batch, config.losses)
        if not torch.isfinite(loss):
            torch.save(batch, config.out / "not_finite.pt")
            raise FloatingPointError(
                f"the loss is {loss.item()} at step {step}; its batch is in {config.out}/not_finite.pt"
            )
        optimizer.zero_grad()
        fabric.backward(loss)
        fabric.clip_gradients(model, optimizer, max_norm=config.clip_norm)
        optimizer.step()
        update_average(averaged, network, min(config.ema, (1 + step) / (10 + step)))
        state["step"] = step + 1
        bar.update()
        if step % 50 == 0:
            bar.set_postfix(loss=f"{loss.item():.4f}", best_dB=f"{state['best']:.2f}")
            fabric.log_dict({"loss": loss, "learning_rate": learning_rate(step, config), **terms}, step)
        if state["step"] % config.validate_every == 0 or state["step"] == config.steps:
            _validate(fabric, averaged, validation, config, state)
        if state["step"] % config.checkpoint_every == 0 or state["step"] == config.steps:
            fabric.save(last.with_suffix(".partial"), state)
            if fabric.is_global_zero:
                last.with_suffix(".partial").replace(last)
    bar.close()
    return config.out / "best.safetensors"


def supervised_loss(
    model: torch.nn.Module, batch: Batch, weights: dict[str, float]
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Derain a batch and compare both views with the clean ones."""
    derained = torch.cat(model(to_float(batch["rainy_left"]), to_float(batch["rainy_right"])))
    clean = torch.cat([to_float(batch["clean_left"]), to_float(batch["clean_right"])])
    return weighted_losses(derained, clean, weights)


def to_float(image: torch.Tensor) -> torch.Tensor:
    """uint8 0..255 -> float32 in [0, 1]."""
    return image.float() / 255


def learning_rate(step: int, config: TrainConfig) -> float:
    """Linear warm-up, then half a cosine down to the final rate."""
    warmup = min(1.0, (step + 1) / max(config.warmup_steps, 1))
    cosine = 0.5 * (1 + math.cos(math.pi * step / config.steps))
    return warmup * (config.final_learning_rate + (config.learning_rate - config.final_learning_rate) * cosine)


def update_average(averaged: torch.nn.Module, current: torch.nn.Module, decay: float) -> None:
    """Move `averaged` towards `current`: average = decay * average + (1 - decay) * current."""
    with torch.no_grad():
        torch._foreach_lerp_(list(averaged.parameters()), list(current.parameters()), 1 - decay)


def _loader(dataset: Dataset[Batch], config: TrainConfig, first: int, workers: int) -> DataLoader[Batch]:
    total = config.steps * config.batch_size
    sampler = EpochSampler(len(dataset), first, total, config.seed)  # type: ignore[arg-type]
    return DataLoader(
        dataset, config.batch_size, sampler=sampler, num_workers=workers, drop_last=True, persistent_workers=workers > 0
    )


@torch.no_grad()
def _validate(
    fabric: Fabric, averaged: APANet, validation: Dataset[Batch], config: TrainConfig, state: dict[str, Any]
) -> None:
    """Log the mean PSNR over the validation pairs, and keep the weights when they are the best so far."""
    gains, scores = [], []
    batches = DataLoader(validation, config.batch_size)
    for batch in batches:
        batch = {name: to_float(view).to(fabric.device) for name, view in batch.items()}
        derained = torch.cat(averaged(batch["rainy_left"], batch["rainy_right"])).clamp(0, 1)
        clean = torch.cat([batch["clean_left"], batch["clean_right"]])
        rainy = torch.cat([batch["rainy_left"], batch["rainy_right"]])
        scores.append(psnr(derained, clean).clamp(max=HIGHEST_DB))
        gains.append(scores[-1] - psnr(rainy, clean).clamp(max=HIGHEST_DB))
    score = torch.cat(scores).mean().item()
    fabric.log_dict({"validation/psnr": score, "validation/gain": torch.cat(gains).mean().item()}, state["step"])
    writer = fabric.logger.experiment  # type: ignore[attr-defined]
    writer.add_images("validation/rainy_derained_clean", torch.cat([rainy[:2], derained[:2], clean[:2]]), state["step"])
    if score > state["best"] and fabric.is_global_zero:
        state["best"] = score
        save_checkpoint(
            averaged, config.out / "best.safetensors", step=str(state["step"]), validation_psnr=f"{score:.3f}"
        )
