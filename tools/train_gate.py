"""Train the rain gate of a network whose other weights stay as they are.

It collects the features of rendered pairs, fits each judge of the gate to whether deraining helps a pair, and writes
the checkpoint with the gate. A pair counts by how much is at stake: the logarithm of the error with and without
deraining.

Run: OMP_NUM_THREADS=1 python -m tools.train_gate WEIGHTS.safetensors --photos FOLDER --out OUT.safetensors
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from apanet_core.model.checkpoint import load_model, save_checkpoint
from apanet_core.model.config import PRESETS
from apanet_core.model.network import APANet
from apanet_core.model.rain_gate import RainJudge
from apanet_core.model.uint8 import apply_coring
from apanet_core.rain.counter_random import CounterRandom
from apanet_core.rain.marked_photos import training_atlas
from apanet_core.rain.photo_atlas import PhotoAtlas
from apanet_core.rain.records import with_dims
from apanet_core.rain.samples import render_samples
from apanet_core.training.objectives import both, is_judged

SIZES = ((128, 320), (160, 256), (192, 384))  # of the samples, in turn
SINGLE, BLOCKED = 0.2, 0.3  # shares of the samples, more than other training takes: the partner is of no help there
CELLS = 384  # taken at random from each view, since all cells of all pairs do not fit into memory
SMALLEST_ERROR = 1e-6  # mean squares below this, 60 dB, count as equal
VALIDATION = 0.1  # share of the pairs
STEPS, PAIRS, RATE = 2000, 64, 3e-3
SEEDS = {"alone": 3, "compared": 2}  # of the judges
SHIFTS = {"alone": 1.0, "compared": 0.8}  # added to the logits, since rain that stays costs more than dry change
SHARPNESS = 4.0  # factor of the fitted logits


class Collected(NamedTuple):
    """N pairs.

    Attributes:
        features: (N, 2, CELLS, C) float16, of each view alone.
        fused: (N, 2, CELLS, C of the fusion) float16.
        harm: (N,), the logarithm of error derained over error rainy.
    """

    features: torch.Tensor
    fused: torch.Tensor
    harm: torch.Tensor


def with_gate(network: APANet) -> APANet:
    """Return a copy of the network with an open gate; the gate that it has is left out."""
    config = replace(network.config, gate_channels=PRESETS["small"].gate_channels)
    gated = APANet(config)
    other = {name: value for name, value in network.state_dict().items() if not name.startswith("fusion.gate.")}
    gated.load_state_dict({**gated.state_dict(), **other})
    return gated.eval()


@torch.no_grad()
def collect(network: APANet, atlas: PhotoAtlas, pairs: int, batch: int, seed: int) -> Collected:
    """Render pairs and derain them with an open gate; half of the dry ones get noise, which is not to be removed."""
    assert network.fusion.gate is not None
    seen: list[tuple[torch.Tensor, ...]] = []
    hook = network.fusion.gate.register_forward_hook(lambda module, inputs, output: seen.append(inputs))
    features, fused, harm = [], [], []
    for number in tqdm(range(pairs // batch), desc="pairs", unit="batch", file=sys.stderr):
        indices = torch.arange(batch) + number * batch
        samples = render_samples(atlas, SIZES[number % len(SIZES)], seed, indices, SINGLE, BLOCKED)
        rainy, clean = both(samples, "rainy_{}"), both(samples, "clean_{}")
        random = CounterRandom(seed + 1, indices)
        noisy = random.happens("noisy", 0.5) * random.uniform("level", high=2.5 / 255)
        noise = with_dims(noisy, 5) * random.normal("noise", 2, *rainy.shape[1:])
        dry = (rainy == clean).flatten(1).all(1)[:, None, None, None]
        rainy = torch.where(dry, (rainy + torch.cat([noise[:, 0], noise[:, 1]])).clamp(0, 1), rainy)
        clean = torch.where(dry, rainy, clean)

        derained = apply_coring(rainy, network.derain(rainy).derained, network.config.coring / 255).clamp(0, 1)
        judged = is_judged(samples).float().reshape(2, batch)
        errors = [
            ((view - clean).square().mean((1, 2, 3)).reshape(2, batch) * judged).sum(0) / judged.sum(0).clamp(min=1)
            for view in (derained, rainy)
        ]
        harm.append(((errors[0] + SMALLEST_ERROR) / (errors[1] + SMALLEST_ERROR)).log())
        for store, maps in zip((features, fused), seen.pop()):  # not the agreement, which comes last
            cells = maps.flatten(2).transpose(1, 2)
            some = cells[:, torch.randperm(cells.shape[1])[:CELLS]].half()
            store.append(torch.stack(some.chunk(2), dim=1))
    hook.remove()
    return Collected(*(torch.cat(part) for part in (features, fused, harm)))


def fit(judge: RainJudge, features: torch.Tensor, harm: torch.Tensor, seed: int, shift: float) -> None:
    """Fit a judge to whether deraining helps, print how often it is right on the last pairs, then open it further.

    Args:
        judge: of the gate.
        features: (N, 2, CELLS, C); the judge takes every second cell.
        harm: (N,), as collected.
        seed: of the fit.
        shift: added to the logits.
    """
    torch.manual_seed(seed)
    first = int(len(harm) * (1 - VALIDATION))
    helps, stake = (harm < 0).float()[:, None], harm.abs().clamp(max=2)[:, None]
    from_features, to_evidence = (layer for layer in judge.evidence if isinstance(layer, nn.Conv2d))
    for layer in (from_features, to_evidence, judge.weigh, judge.decide):
        layer.reset_parameters()
    with torch.no_grad():  # start from features of mean 0 and standard deviation 1
        some = features[: first // 10].float()
        from_features.weight.div_(some.std((0, 1, 2))[None, :, None, None])
        from_features.bias.sub_(from_features.weight[:, :, 0, 0] @ some.mean((0, 1, 2)))  # type: ignore[union-attr]
    optimizer = torch.optim.AdamW(judge.parameters(), RATE, weight_decay=0.2)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, STEPS)
    for _ in tqdm(range(STEPS), desc="steps", file=sys.stderr):
        chosen, cells = torch.randint(first, (PAIRS,)), torch.randperm(CELLS)
        summary = summaries(judge, features[chosen][:, :, cells])
        summary = summary + 0.2 * summary.std(dim=(0, 1)).detach() * torch.randn_like(summary)
        logits = judge.from_summary(F.dropout(summary, 0.1)).amax(dim=1)
        loss = (F.binary_cross_entropy_with_logits(logits, helps[chosen], reduction="none") * stake[chosen]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        logits = judge.from_summary(summaries(judge, features[first:])).amax(dim=1)
        right = (logits > 0) == (helps[first:] > 0)
        share = (right * stake[first:]).sum() / stake[first:].sum()
        print(f"right in {100 * share:.1f} % of {len(right)} pairs, weighted by what is at stake")
        judge.decide.bias.add_(shift)
        for parameter in judge.decide.parameters():
            parameter.mul_(SHARPNESS)


def summaries(judge: RainJudge, cells: torch.Tensor) -> torch.Tensor:
    """Return what the judge decides on, from some cells of views: (N, 2, cells, C) to (N, 2, 2 channels)."""
    views = cells.float().flatten(0, 1).transpose(1, 2)[..., None]
    return judge.summary(views).unflatten(0, (-1, 2))


def main() -> None:
    """Train the gate of one network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path, help="checkpoint of a network that matches its views")
    parser.add_argument("--photos", type=Path, required=True, help="folder of photographs")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint to write")
    parser.add_argument("--pairs", type=int, default=6400)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="of the pairs, each of which gives its share")
    args = parser.parse_args()
    network = with_gate(load_model(args.weights))
    parts = [
        collect(network, training_atlas([args.photos], seed), args.pairs // len(args.seeds), args.batch, seed)
        for seed in args.seeds
    ]
    order = torch.randperm(sum(len(part.harm) for part in parts), generator=torch.Generator().manual_seed(0))
    data = Collected(*(torch.cat(column)[order] for column in zip(*parts)))
    gate = network.fusion.gate
    assert gate is not None
    fit(gate.alone, data.features, data.harm, SEEDS["alone"], SHIFTS["alone"])
    fit(gate.compared, data.fused, data.harm, SEEDS["compared"], SHIFTS["compared"])
    save_checkpoint(network, args.out, torch.float16)


if __name__ == "__main__":
    main()
