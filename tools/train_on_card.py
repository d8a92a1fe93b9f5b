"""Train networks at the same time on a graphics card, for a number of seconds.

Rain is rendered on the card once for all networks.

Run: python -m tools.train_on_card '[{"shape": "small", "init": "small-mono.safetensors"}]' --photos FOLDER
--seconds 480 --out OUT
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from apanet_core.model.checkpoint import save_checkpoint
from apanet_core.model.config import PRESETS
from apanet_core.model.network import APANet
from apanet_core.rain.marked_photos import training_atlas
from apanet_core.rain.samples import render_samples
from apanet_core.training.averaging import update_average
from apanet_core.training.config import MatchingConfig
from apanet_core.training.objectives import Batch, Supervised
from apanet_core.training.step import CUDACapture, TrainingStep

LOSSES = {"charbonnier": 1.0, "frequency": 0.05, "box_ssim": 0.2}
FAST = 2.5  # learning rate of matching and fusion, which start untrained, as a multiple of that of the rest


def optimizer_of(network: APANet) -> torch.optim.AdamW:
    """Return an optimizer with two groups: matching and fusion, and the rest; those without parameters are left out."""
    groups: list[list[torch.nn.Parameter]] = [[], []]
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            groups[name.startswith(("matching.", "fusion."))].append(parameter)
    used = [{"params": group, "factor": factor} for group, factor in zip(groups, (1.0, FAST)) if group]
    return torch.optim.AdamW(used, weight_decay=1e-4, fused=True)


def training_step(network: APANet, objective: Supervised, optimizer: torch.optim.AdamW) -> TrainingStep:
    """Return the step of a network: captured on CUDA, in bfloat16 there; it skips gradients that are not finite."""
    device = next(network.parameters()).device
    bad = torch.tensor(0.0, device=device)
    optimizer.found_inf, optimizer.grad_scale = bad, None  # the fused step reads them

    def gradients(batches: list[Batch]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        # on a CPU in float32: oneDNN's bfloat16 gradients of dilated depthwise convolutions can be infinite
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            loss, terms = objective(network, batches[0])
        loss.backward()
        return loss.detach(), terms

    def clip() -> torch.Tensor:
        norm = torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0, foreach=True)
        bad.copy_((~torch.isfinite(norm)).float())
        return norm

    return TrainingStep(gradients, clip, optimizer, CUDACapture() if device.type == "cuda" else None)


def start_from(network: APANet, path: Path) -> int:
    """Copy the tensors of a checkpoint that fit by name and shape; return their number."""
    stored, own = load_file(path), network.state_dict()
    fitting = {k: v.float() for k, v in stored.items() if k in own and own[k].shape == v.shape}
    network.load_state_dict(fitting, strict=False)
    return len(fitting)


class Job:
    """One network in training.

    Args:
        shape: a key of `PRESETS`.
        device: trains it.
        label: name of its file; the shape by default.
        init: checkpoint to start from; tensors that do not fit are skipped.
        rate: highest learning rate.
        decay: whether the rate falls along a cosine; a constant rate is for weights that are averaged over long.
        average: share of the averaged weights that a step keeps.
        change: fields of the model config to change.
        objective: weights of `MatchingConfig` to change.
        only: prefixes of the names of the parameters that learn; all by default.
    """

    def __init__(
        self,
        shape: str,
        device: torch.device,
        label: str | None = None,
        init: str | None = None,
        rate: float = 6e-4,
        decay: bool = True,
        average: float = 0.998,
        change: dict[str, Any] | None = None,
        objective: dict[str, float] | None = None,
        only: list[str] | None = None,
    ) -> None:
        change = {k: tuple(v) if isinstance(v, list) else v for k, v in (change or {}).items()}
        self.label, self.rate, self.decay, self.average, self.steps = label or shape, rate, decay, average, 0
        self.network = APANet(replace(PRESETS[shape], **change))
        taken = start_from(self.network, Path(init)) if init else 0
        self.network = self.network.to(device, memory_format=torch.channels_last)
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(only is None or name.startswith(tuple(only)))
        self.averaged = copy.deepcopy(self.network).requires_grad_(False)
        self.optimizer = optimizer_of(self.network)
        losses = Supervised(LOSSES, MatchingConfig(**(objective or {})))
        self.step = training_step(self.network, losses, self.optimizer)
        self.skipped = torch.zeros((), device=device)
        size = sum(p.numel() for p in self.network.parameters())
        print(f"{self.label}: {size:,} parameters, {taken} of {len(self.network.state_dict())} tensors from {init}")

    def __call__(self, batch: dict[str, torch.Tensor], done: float) -> None:
        """Train one step; `done`, from 0 to 1, is the progress of the run."""
        warm = min(1.0, (self.steps + 1) / 200)
        falling = 0.001 + 0.999 * 0.5 * (1 + math.cos(math.pi * done)) if self.decay else 1.0
        rates = [group["factor"] * self.rate * warm * falling for group in self.optimizer.param_groups]
        self.result = self.step([batch], rates)
        self.skipped += ~torch.isfinite(self.result.norm)
        self.steps += 1
        update_average(self.averaged, self.network, min(self.average, (1 + self.steps) / (10 + self.steps)))

    def save(self, folder: Path) -> None:
        """Write the averaged weights into `folder` in half precision."""
        save_checkpoint(self.averaged, folder / f"{self.label}.safetensors", torch.float16)


def mirrored(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the mirror image of stereo pairs, whose left view is the mirrored right view."""
    result = {}
    for name, value in batch.items():
        other = name.replace("left", "right") if "left" in name else name.replace("right", "left")
        result[other] = value.flip(-1) if value.dim() > 1 else value
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("jobs", type=json.loads, help="arguments of Job")
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--seconds", type=float, required=True, help="of training, from the first step on")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--chunk", type=int, default=8, help="batches rendered at once, each used twice")
    parser.add_argument("--size", type=int, nargs=2, default=(192, 384))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()

    def say(words: str) -> None:
        print(f"{time.monotonic() - started:6.1f} s  {words}", flush=True)

    atlas = training_atlas([args.photos], args.seed, device)
    say(f"{len(atlas)} photographs")
    many = args.batch * args.chunk

    def render(chunk: int) -> dict[str, torch.Tensor]:
        return render_samples(atlas, tuple(args.size), args.seed, torch.arange(many, device=device) + chunk * many)

    chunk = render(0)
    jobs = [Job(device=device, **job) for job in args.jobs]
    main_stream, side = (torch.cuda.current_stream(), torch.cuda.Stream()) if device.type == "cuda" else (None, None)
    say("ready")
    began = logged = saved = time.monotonic()
    number = 0
    while (done := (time.monotonic() - began) / args.seconds) < 1:
        flipped = mirrored(chunk)
        whole = {name: torch.cat([value, flipped[name]]) for name, value in chunk.items()}
        order = torch.arange(2 * many, device=device).reshape(2, args.chunk, args.batch).transpose(0, 1).flatten(0, 1)
        for batch_indices in order:
            batch = {name: value[batch_indices] for name, value in whole.items()}
            for job in jobs:
                job(batch, done)
        number += 1
        if side is None:
            chunk = render(number)
        else:
            with torch.cuda.stream(side):
                chunk = render(number)
            for value in chunk.values():
                value.record_stream(main_stream)
            main_stream.wait_stream(side)
            rendered = time.monotonic()
            main_stream.synchronize()
        now = time.monotonic()
        if now - logged > 15 or number == 1:
            waited = f", waited {now - rendered:.2f} s for training" if side else ""
            say(f"{number} chunks, {2 * many * number / (now - began):.0f} samples/s{waited}")
            for job in jobs:
                loss, norm, terms = job.result
                values = {"loss": loss, **terms, "norm": norm, "skipped": job.skipped}
                say(f"  {job.label} step {job.steps}: " + " ".join(f"{k} {v.item():.4f}" for k, v in values.items()))
            logged = now
        if now - saved > 100:
            for job in jobs:
                job.save(args.out)
            saved = now
    for job in jobs:
        job.save(args.out)
    say(f"done: {jobs[0].steps} steps of {args.batch}, {number * many} pairs rendered")


if __name__ == "__main__":
    main()
