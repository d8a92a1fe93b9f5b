"""The training loop for every objective and data set; a run can be spread over processes and resumed at any step."""

from __future__ import annotations

import copy
import math
import os
import sys
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import cv2
import torch
from lightning_fabric import Fabric
from lightning_fabric.loggers import TensorBoardLogger
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from apanet_core.atomic import check_can_be_made
from apanet_core.images.metrics import psnr
from apanet_core.model.checkpoint import load_model, load_tensors, save_checkpoint
from apanet_core.model.compiling import check_compiler
from apanet_core.model.network import APANet
from apanet_core.progress import progress_bar
from apanet_core.rain.marked_photos import training_atlas
from apanet_core.training.averaging import update_average
from apanet_core.training.batches import training_steps
from apanet_core.training.config import TrainConfig
from apanet_core.training.datasets import check_training_files, validation_set
from apanet_core.training.finite import FiniteCheck
from apanet_core.training.last_checkpoint import BEST_WEIGHTS, load_last, save_last
from apanet_core.training.objectives import Batch, Objective, build_objective, is_judged, to_float32
from apanet_core.training.recipe import recipe
from apanet_core.training.schedule import Schedule, learning_rate
from apanet_core.training.step import Capture, CUDACapture, TrainingStep

VALIDATIONS_RESERVED = 1.5  # time kept for the last validation of a run by the clock, as a multiple of the first one
LOG_EVERY = 10  # steps
HIGHEST_DB = 40.0  # cap of a view's PSNR: a dry view that stays above it counts as unchanged


def train(config: TrainConfig) -> Path:
    """Train a network.

    Args:
        config: the run. Under torchrun, the processes share it, and a step uses the batches of all.

    Returns:
        The checkpoint with the best score on the validation split.

    Raises:
        FloatingPointError: the loss or gradient is not finite; its batch is saved in `config.out`.
    """
    began = monotonic()
    cv2.setNumThreads(1)  # the forked loaders inherit it; setting it in them would deadlock
    fabric = _fabric(config)
    fabric.seed_everything(config.seed, verbose=False)

    network = APANet(config.model_config)
    if config.init is not None:
        _start_from(config.init, network)
    averaged = copy.deepcopy(network).requires_grad_(False).eval().to(fabric.device)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    if config.compile:
        check_compiler()
        fabric.print("compiling the network: the first step takes minutes", file=sys.stderr)
    trained: Any = torch.compile(network) if config.compile else network
    model, optimizer = fabric.setup(trained, optimizer)
    model.mark_forward_method("derain")
    objective = build_objective(config, fabric.device, fabric.autocast)
    state: dict[str, Any] = {
        "model": network,
        "averaged": averaged,
        "optimizer": optimizer,
        "step": 0,
        "best": -math.inf,
        "seconds": 0.0,
        "recipe": recipe(config, fabric.world_size),
    }
    load_last(fabric, config, state)

    check_can_be_made(config.out)
    render_on = fabric.device if config.renders_on(fabric.device.type) else "cpu"
    size, pairs = config.all_phases[-1].size, config.validation_pairs
    validation = validation_set(config.data, size, pairs, config.seed, render_on)
    check_training_files(config)
    atlas = training_atlas(config.data.photos, config.seed, render_on) if config.data.photos else None
    config.out.mkdir(parents=True, exist_ok=True)
    schedule = Schedule(config, fabric, state["seconds"] + monotonic() - began)
    if config.minutes is not None:  # measures the time of a validation and the score to beat
        start_s = schedule.spent_s
        _validate(fabric, averaged, validation, config, state)
        took_s = schedule.spent_s - start_s
        schedule.reserved_s = VALIDATIONS_RESERVED * took_s
        if state["step"] == 0 and schedule.progress(0) >= 1:
            raise ValueError(
                f"no step fits into {config.minutes:g} minutes: the data take {start_s:.0f} s to read, a validation "
                f"{took_s:.0f} s, and there are two; give more minutes or fewer validation_pairs"
            )
    check = FiniteCheck(config.out, any_norm=config.precision == "16-mixed" and fabric.device.type == "cuda")
    clip = partial(
        fabric.clip_gradients, model, optimizer, max_norm=config.clip_norm or math.inf, error_if_nonfinite=False
    )
    train_step = TrainingStep(partial(_accumulate, fabric, model, objective), clip, optimizer, _capture(config, fabric))
    first = state["step"]
    with _bar(config, first, fabric.is_global_zero) as bar:
        for step, batches in training_steps(fabric, config, first, atlas):
            progress = schedule.progress(step)
            if progress >= 1:
                break
            rate = learning_rate(step, config, progress)
            loss, norm, terms = train_step(batches, [rate])
            check.add(step, loss, norm, batches)
            update_average(averaged, network, min(config.ema, (1 + step) / (10 + step)))
            state["step"] = step + 1
            bar.update()
            if step % LOG_EVERY == 0:
                steps_s = (step + 1 - first) / (bar.format_dict["elapsed"] or math.inf)
                samples_s = len(batches[0]["rainy_left"]) * len(batches) * fabric.world_size * steps_s
                words = [f"loss {loss.item():.4f}", f"rate {rate:.1e}", f"best {state['best']:.2f} dB"]
                words += [f"{samples_s:.3g} samples/s", *schedule.words(progress)]
                bar.set_postfix_str(", ".join(words), refresh=False)  # a log file gets a line every half minute
                fabric.log_dict({"loss": loss, "learning_rate": rate, **terms}, step)
            if state["step"] % config.validate_every == 0:
                check.look()
                _validate(fabric, averaged, validation, config, state)
            if state["step"] % config.checkpoint_every == 0 or schedule.is_due_to_save():
                check.look()
                save_last(fabric, config, state, schedule)
        check.look()
        if state["step"] % config.validate_every or state["best"] == -math.inf:
            _validate(fabric, averaged, validation, config, state)
        save_last(fabric, config, state, schedule)
    return config.out / BEST_WEIGHTS


def _bar(config: TrainConfig, step: int, shown: bool) -> tqdm[Any]:
    total = config.total_steps if config.minutes is None else None
    return progress_bar(total=total, initial=step, desc="train", unit="step", disable=not shown)


def _fabric(config: TrainConfig) -> Fabric:
    """Return Fabric for the processes that torchrun started, or for this process alone."""
    if config.device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(
            f"device {config.device!r} needs a CUDA build of torch and a GPU, but CUDA is not available: use 'cpu'"
        )
    local, world = (int(os.environ.get(name, 1)) for name in ("LOCAL_WORLD_SIZE", "WORLD_SIZE"))
    fabric = Fabric(
        accelerator=config.device,
        devices=local,
        num_nodes=world // local,
        strategy="ddp" if world > 1 else "auto",
        precision=config.precision,  # type: ignore[arg-type]
        loggers=TensorBoardLogger(root_dir=config.out, name="", version=""),
    )
    fabric.launch()
    return fabric


def _capture(config: TrainConfig, fabric: Fabric) -> Capture | None:
    """Return what captures the steps on CUDA: those of several processes or with a loss scaler run eagerly."""
    alone = fabric.world_size == 1 and fabric.device.type == "cuda"
    return CUDACapture() if alone and config.precision != "16-mixed" else None


def _start_from(path: Path, network: APANet) -> None:
    """Load the weights of a checkpoint, whose config must lead to the same computation."""
    start = load_model(path)
    for name in ("external_attention_eps", "parallax_mask"):
        ours, theirs = getattr(network.config, name), getattr(start.config, name)
        if ours != theirs:
            raise ValueError(f"init {path} was made with {name} {theirs}, this run has {ours}: set it in model as well")
    load_tensors(network, start.state_dict(), path)


def _accumulate(
    fabric: Fabric, model: Any, objective: Objective, batches: list[Batch]
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Add up the gradients of `batches`; return their mean loss and the terms of the last one."""
    losses = []
    for number, batch in enumerate(batches, 1):
        with fabric.no_backward_sync(model, enabled=number < len(batches)):
            loss, terms = objective(model, batch)
            fabric.backward(loss / len(batches))
        losses.append(loss.detach())
    return torch.stack(losses).mean(), terms


@torch.no_grad()
def _validate(
    fabric: Fabric, averaged: APANet, validation: Dataset[Batch], config: TrainConfig, state: dict[str, Any]
) -> None:
    """Log the mean PSNR over the validation pairs, and save the weights if it is the best so far.

    Every process scores all pairs, so that all agree on the best; only the first one writes.
    """
    gains, scores = [], []
    for batch in DataLoader(validation, config.all_phases[-1].batch_size):
        batch = {name: to_float32(view.to(fabric.device)) for name, view in batch.items()}
        derained = torch.cat(averaged(batch["rainy_left"], batch["rainy_right"])).clamp(0, 1)
        clean = torch.cat([batch["clean_left"], batch["clean_right"]])
        rainy = torch.cat([batch["rainy_left"], batch["rainy_right"]])
        counted = is_judged(batch)
        scores.append(psnr(derained, clean)[counted].clamp(max=HIGHEST_DB))
        gains.append(scores[-1] - psnr(rainy, clean)[counted].clamp(max=HIGHEST_DB))
    score = torch.cat(scores).mean().item()
    fabric.log_dict({"validation/psnr": score, "validation/gain": torch.cat(gains).mean().item()}, state["step"])
    if fabric.is_global_zero:
        writer = fabric.logger.experiment  # type: ignore[attr-defined]
        pictures = torch.cat([rainy[:2], derained[:2], clean[:2]])
        writer.add_images("validation/rainy_derained_clean", pictures, state["step"])
    if not score > state["best"]:  # also true for NaN
        return
    state["best"] = score
    if fabric.is_global_zero:
        save_checkpoint(averaged, config.out / BEST_WEIGHTS, step=str(state["step"]), validation_psnr=f"{score:.3f}")
