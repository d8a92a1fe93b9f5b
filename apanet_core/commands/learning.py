"""Commands that train and evaluate."""

from __future__ import annotations

from pathlib import Path

from apanet_core.training.config import TrainConfig


def train(config: TrainConfig) -> None:
    """Train a network as CONFIG (YAML) says; every value can be overridden, as in --steps 1000 --data.workers 2."""
    from apanet_core.training.loop import train as run

    print(f"best weights: {run(config)}")


def distill(config: TrainConfig) -> None:
    """Train a stereo student on real rain as well, with a single-image teacher, as CONFIG (YAML) says."""
    if config.distillation is None:
        raise ValueError("distillation is not set: give distillation.teacher and distillation.unpaired")
    train(config)


def evaluate(
    data: Path,
    out: Path = Path("evaluation"),
    models: list[str] = ["tiny"],  # noqa: B006
    outputs: list[str] = [],  # noqa: B006
    disparity: Path | None = None,
    max_disparity: int = 128,
    limit: int | None = None,
    engine: str = "auto",
    device: str = "auto",
    lpips: Path | None = None,
    pictures: int = 6,
    stereo_gain: bool = False,
) -> None:
    """Compare models and other methods' outputs with the rainy input: quality, stereo depth, consistency.

    Args:
        data: folder of rainy and clean pairs, in a layout that `train` reads too.
        out: folder for per_image.csv, results.json and report.html.
        models: presets or .safetensors checkpoints, as in '[tiny,mine=runs/a/best.safetensors]'.
        outputs: folders of derained pairs, left/NAME.png and right/NAME.png, as in '[mprnet=results/mprnet]'.
        disparity: folder of true disparities (16-bit PNG as KITTI's, .npy or .pfm); without it, depth is compared with
            that of the clean pairs.
        max_disparity: how far to search for matches, px.
        limit: evaluate at most this many pairs.
        engine: auto, torch, openvino or onnxruntime.
        device: auto, cpu, cuda or cuda:N.
        lpips: AlexNet's weights (torchvision's alexnet-owt-7be5be79.pth), to measure LPIPS as well.
        pictures: how many pairs the report shows.
        stereo_gain: also say what the second view is worth to the models, and where their attention looks (the latter
            with engine torch).
    """
    from apanet_core.evaluation.evaluate import Settings
    from apanet_core.evaluation.evaluate import evaluate as run
    from apanet_core.evaluation.inputs import named

    folders = {name: Path(folder) for name, folder in named(outputs).items()}
    settings = Settings(
        named(models, default_name=True),
        folders,
        disparity,
        max_disparity,
        limit,
        engine,
        device,
        lpips,
        pictures,
        stereo_gain,
    )
    print(run(data, out, settings))
    print(f"\nwritten: {out / 'report.html'}, {out / 'results.json'}, {out / 'per_image.csv'}")
