"""Train one network for so many seconds on a graphics card: rain rendered there, every step one CUDA graph.

Run: python -m tools.train_on_card --name small --init small.safetensors --photos FOLDER --seconds 480 --out OUT
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file

from apanet_core.model.checkpoint import save_checkpoint
from apanet_core.model.config import PRESETS, ModelConfig
from apanet_core.model.network import APANet
from apanet_core.rain.batched.photo_atlas import PhotoAtlas, read_photos
from apanet_core.rain.batched.samples import render_samples
from apanet_core.training.stereo_objective import StereoObjective

LOSSES = {"charbonnier": 1.0, "frequency": 0.05, "structure": 0.2}
SECOND = {"parallax_levels": (), "matching_channels": 32, "fusion_channels": 48, "fusion_blocks": 1}
SHAPES = {
    "tiny": replace(PRESETS["tiny"], **{**SECOND, "decoder_blocks": (1, 2)}),
    "small": replace(PRESETS["small"], **{**SECOND, "fusion_channels": 64}),
    "base": ModelConfig(
        stem_stride=2,
        channels=(64, 96, 128, 192),
        encoder_blocks=(1, 2, 4, 6),
        decoder_blocks=(1, 2, 4),
        external_attention_levels=(3, 4),
        parallax_levels=(),
        max_disparity=192,
        coring=4.0,
        matching_channels=64,
        fusion_channels=96,
        fusion_blocks=2,
    ),
    "control": PRESETS["tiny"],
    "control-small": PRESETS["small"],
}


class GraphedStep:
    """One step of training, captured as a CUDA graph; on a CPU the same step, eager."""

    def __init__(self, network: APANet, objective: StereoObjective, batch: dict[str, torch.Tensor]) -> None:
        self.network, self.objective = network, objective
        device = next(network.parameters()).device
        cuda = device.type == "cuda"
        self.rate = torch.tensor(0.0, device=device)
        self.bad = torch.tensor(0.0, device=device)  # 1 where a gradient is not finite: the optimiser skips the step
        self.optimizer = torch.optim.AdamW(
            network.parameters(), lr=self.rate, weight_decay=1e-4, fused=True, capturable=cuda
        )
        self.optimizer.found_inf = self.bad
        self.optimizer.grad_scale = None
        self.inputs = {name: value.clone() for name, value in batch.items()}
        self.graph = None
        if not cuda:
            return
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self._step()
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
            self._step()

    def _step(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.rate.device.type, torch.bfloat16):
            loss, terms = self.objective(self.network, self.inputs)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0, foreach=True)
        self.bad.copy_((~torch.isfinite(norm)).float())
        self.optimizer.step()
        self.terms = {"loss": loss.detach(), **terms, "norm": norm}

    def __call__(self, batch: dict[str, torch.Tensor], rate: float) -> None:
        for name, value in batch.items():
            self.inputs[name].copy_(value)
        self.rate.fill_(rate)
        if self.graph is None:
            self._step()
        else:
            self.graph.replay()


def start_from(network: APANet, path: Path) -> int:
    """Copy what fits by name and shape; returns how many tensors did."""
    stored, own = load_file(path), network.state_dict()
    fitting = {k: v.float() for k, v in stored.items() if k in own and own[k].shape == v.shape}
    network.load_state_dict(fitting, strict=False)
    return len(fitting)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", choices=SHAPES, required=True)
    parser.add_argument("--change", type=json.loads, default={}, help="fields of the model config")
    parser.add_argument("--objective", type=json.loads, default={}, help="weights of StereoObjective")
    parser.add_argument("--init", type=Path)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--seconds", type=float, required=True, help="of training, from the first step on")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, nargs=2, default=(192, 384))
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--label")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    torch.manual_seed(args.seed)
    label = args.label or args.name
    started = time.monotonic()

    def say(words: str) -> None:
        print(f"{label} {time.monotonic() - started:6.1f} s  {words}", flush=True)

    change = {k: tuple(v) if isinstance(v, list) else v for k, v in args.change.items()}
    network = APANet(replace(SHAPES[args.name], **change)).to(device)
    if args.init:
        say(f"{start_from(network, args.init)} of {len(network.state_dict())} tensors from {args.init.name}")
    averaged = copy.deepcopy(network).requires_grad_(False)
    ours, theirs = list(averaged.parameters()), list(network.parameters())
    atlas = PhotoAtlas(read_photos([args.photos]), device)
    say(f"{len(atlas)} photographs, {sum(p.numel() for p in network.parameters()):,} parameters")

    def render(step: int) -> dict[str, torch.Tensor]:
        indices = torch.arange(args.batch, device=device) + step * args.batch
        return render_samples(atlas, tuple(args.size), args.seed, indices)

    batch = render(0)
    step_of = GraphedStep(network, StereoObjective(LOSSES, **args.objective), batch)
    cuda = device.type == "cuda"
    side = torch.cuda.Stream() if cuda else None
    say("captured")
    began = logged = time.monotonic()
    step, waited, logged_step = 0, 0.0, 0
    while True:
        now = time.monotonic()
        done = (now - began) / args.seconds
        if done >= 1:
            break
        rate = args.rate * min(1.0, (step + 1) / 200) * (0.001 + 0.999 * 0.5 * (1 + math.cos(math.pi * done)))
        step_of(batch, rate)
        step += 1
        decay = min(0.999, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(ours, theirs, 1 - decay)
        if side is None:
            batch = render(step)
        else:
            with torch.cuda.stream(side):
                batch = render(step)
            before = time.monotonic()
            for value in batch.values():
                value.record_stream(torch.cuda.current_stream())
            torch.cuda.current_stream().wait_stream(side)
            torch.cuda.current_stream().synchronize() if step % 2 == 0 else None  # never far ahead of the card
            waited += time.monotonic() - before
        if time.monotonic() - logged > 10:
            terms = " ".join(f"{k} {v.item():.4f}" for k, v in step_of.terms.items())
            speed = (step - logged_step) * args.batch / (time.monotonic() - logged)
            say(f"step {step} {speed:.0f} samples/s, waiting {waited / (time.monotonic() - began):.0%}: {terms}")
            logged, logged_step = time.monotonic(), step
    args.out.mkdir(parents=True, exist_ok=True)
    save_checkpoint(averaged.cpu(), args.out / f"{label}.safetensors")
    spent = time.monotonic() - began
    say(f"done: {step} steps, {step * args.batch} samples in {spent:.0f} s, {step * args.batch / spent:.0f} samples/s")


if __name__ == "__main__":
    main()
