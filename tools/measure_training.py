"""Time `apanet train` and a plain loop over the same network, data and loss, in turn in one process.

It trains on the graphics card if there is one. Both times include reading the photographs and rendering.

Run: .venv/bin/python -m tools.measure_training PHOTOS
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from apanet_core.data.synthetic import SyntheticRain
from apanet_core.model.config import preset
from apanet_core.model.network import APANet
from apanet_core.rain.marked_photos import training_atlas
from apanet_core.training.config import DataConfig, TrainConfig
from apanet_core.training.loop import train
from apanet_core.training.objectives import Supervised

MODEL, LOSSES = "tiny", {"charbonnier": 1.0}
STEPS, BATCH, SIZE, ROUNDS = 30, 8, (96, 256), 3
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def plain(photos: Path) -> None:
    """Train with a plain loop, as written by hand."""
    network, objective = APANet(preset(MODEL)).to(DEVICE), Supervised(LOSSES)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.0)
    samples = SyntheticRain(training_atlas([photos], 0), SIZE, STEPS * BATCH)
    for batch in DataLoader(samples, BATCH, shuffle=True):
        loss, _ = objective(network, {name: value.to(DEVICE) for name, value in batch.items()})
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def ours(photos: Path) -> None:
    """Train with `apanet train`; the time includes a checkpoint, the log and the validation of one pair."""
    with tempfile.TemporaryDirectory() as out:
        data = DataConfig([photos], size=SIZE, workers=0)
        steps = {"steps": STEPS, "batch_size": BATCH, "validate_every": STEPS, "validation_pairs": 1}
        train(TrainConfig(Path(out), data, MODEL, losses=LOSSES, device=DEVICE, **steps))


def main() -> None:
    """Print the median time of each loop, and the ratio."""
    photos = Path(sys.argv[1])
    times: dict[str, list[float]] = {"plain": [], "ours": []}
    for _ in range(ROUNDS):
        for name, loop in (("plain", plain), ("ours", ours)):
            start = time.perf_counter()
            loop(photos)
            times[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(values) for name, values in times.items()}
    print(f"{STEPS} steps of {BATCH} pairs of {SIZE[1]}x{SIZE[0]} on {DEVICE}")
    for name, took_s in medians.items():
        print(f"{name}: {took_s:.1f} s, {STEPS * BATCH / took_s:.1f} samples/s")
    print(f"ratio {medians['ours'] / medians['plain']:.3f}")


if __name__ == "__main__":
    main()
