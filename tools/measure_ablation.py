"""Train the network's ablations for a few minutes each, at an equal budget, and print the gain of each.

The ablations are switches of the config: external_attention_levels, parallax_levels, parallax_mask, max_disparity,
channels, the kinds of rain and distillation. The networks are small and training is short. The table shows that the
switches work and in which direction, no more.
Run: .venv/bin/python -m tools.measure_ablation PHOTOS [STEPS]
"""

import dataclasses
import math
import sys
import tempfile
from pathlib import Path

import torch

from apanet_core.data.synthetic import SyntheticRain
from apanet_core.images.files import write_image
from apanet_core.model.config import ModelConfig
from apanet_core.model.network import APANet
from apanet_core.rain import random_weather
from apanet_core.rain.photo_atlas import PhotoAtlas
from apanet_core.rain.photos import read_photos
from apanet_core.training.config import DataConfig, DistillationConfig, TrainConfig
from apanet_core.training.loop import train
from apanet_core.training.objectives import is_judged, to_float32

FULL = ModelConfig(
    stem_stride=4,
    channels=(24, 32, 48),
    encoder_blocks=(1, 1, 2),
    decoder_blocks=(1, 1),
    external_attention_levels=(2, 3),
    parallax_levels=(2, 3),
    max_disparity=96,
)
SIZE = (64, 192)
PAIRS = 64
NONE = dict.fromkeys(random_weather.SHARES, 0.0)
ALL_KINDS = dict(random_weather.SHARES)


def run(name: str, out: Path, photos: Path, steps: int, model: ModelConfig, kinds: dict[str, float], **changes) -> Path:
    """Train one variant.

    Args:
        name: folder of the run in `out`.
        out: folder of all runs.
        photos: folder of photographs.
        steps: training steps.
        model: shape of the network.
        kinds: share of each kind of rain.
        **changes: fields of `TrainConfig` to change, and `single_image` of `DataConfig`.

    Returns:
        The checkpoint of the averaged last weights.
    """
    random_weather.SHARES = NONE | kinds
    data = DataConfig([photos], size=SIZE, single_image=changes.pop("single_image", 0.1), workers=0)
    config = TrainConfig(
        out / name,
        data,
        model,
        steps=steps,
        batch_size=4,
        learning_rate=3e-3,
        ema=0.99,
        validate_every=steps,
        device="cpu",
        **changes,
    )
    return train(config)


@torch.no_grad()
def gain(checkpoint: Path, photos: Path, kind: str) -> float:
    """Return the gain of a checkpoint in dB, from the error of all pairs together, on held-out photographs and rain.

    Args:
        checkpoint: the weights.
        photos: folder of photographs.
        kind: the kind of rain.
    """
    from apanet_core.model.checkpoint import load_model

    random_weather.SHARES = NONE | {kind: 1.0}
    network: APANet = load_model(checkpoint)
    samples = SyntheticRain(PhotoAtlas(read_photos([photos], validation=True)), SIZE, PAIRS, 99, single_image=0.0)
    before = after = 0.0
    for index in range(PAIRS):
        view = {name: to_float32(value)[None] for name, value in samples[index].items()}
        if not is_judged(view)[0]:
            continue  # mud covers it
        derained = network(view["rainy_left"], view["rainy_right"])[0].clamp(0, 1)
        before += float((view["rainy_left"] - view["clean_left"]).square().mean())
        after += float((derained - view["clean_left"]).square().mean())
    return 10 * math.log10(before / after)


def write_unpaired(root: Path, photos: Path, kind: str) -> None:
    """Write 200 rainy pairs of one kind without their clean partners, for distillation."""
    random_weather.SHARES = NONE | {kind: 1.0}
    samples = SyntheticRain(PhotoAtlas(read_photos([photos])), SIZE, 200, 7, single_image=0.0)
    for index in range(len(samples)):
        sample = samples[index]
        for side in ("left", "right"):
            folder = root / "train" / side
            folder.mkdir(parents=True, exist_ok=True)
            write_image(folder / f"{index:03}.png", sample[f"rainy_{side}"].permute(1, 2, 0).numpy())


def main() -> None:
    """Train all variants and print three tables."""
    photos, steps = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    variants = {
        "full": FULL,
        "EAM off": dataclasses.replace(FULL, external_attention_levels=()),
        "APAM off": dataclasses.replace(FULL, parallax_levels=()),
        "disparity cap off": dataclasses.replace(FULL, max_disparity=None),
        "mask off": dataclasses.replace(FULL, max_disparity=None, parallax_mask=False),
        "half the channels": dataclasses.replace(FULL, channels=(12, 16, 24)),
        "twice the channels": dataclasses.replace(FULL, channels=(48, 64, 96)),
    }
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        print("| trained on all rain | drops | streaks |\n|---|---|---|", flush=True)
        for name, model in variants.items():
            best = run(name.replace(" ", "_"), out, photos, steps, model, ALL_KINDS)
            print(f"| {name} | {gain(best, photos, 'drops'):+.2f} | {gain(best, photos, 'streaks'):+.2f} |", flush=True)
        best = run("streaks", out, photos, steps, FULL, {"streaks": 1.0})
        print(
            "\n| trained on streaks | drops | streaks |\n|---|---|---|\n"
            f"| full | {gain(best, photos, 'drops'):+.2f} | {gain(best, photos, 'streaks'):+.2f} |",
            flush=True,
        )
        teacher = run("teacher", out, photos, steps, FULL, ALL_KINDS, single_image=1.0)
        write_unpaired(out / "real", photos, "streaks")
        print("\n| trained on drops | drops | streaks |\n|---|---|---|", flush=True)
        for name, distillation in {
            "distillation off": None,
            "distillation on, unpaired pairs with streaks": DistillationConfig(teacher, out / "real", contrastive=0.02),
        }.items():
            best = run(name[:15].replace(" ", "_"), out, photos, steps, FULL, {"drops": 1.0}, distillation=distillation)
            print(f"| {name} | {gain(best, photos, 'drops'):+.2f} | {gain(best, photos, 'streaks'):+.2f} |", flush=True)


if __name__ == "__main__":
    main()
