"""The command `apanet`."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentError
from collections.abc import Callable
from pathlib import Path

from jsonargparse import ActionConfigFile, ArgumentParser

from apanet_core.training.config import TrainConfig


def derain(
    left: Path,
    right: Path,
    output: Path,
    model: str = "tiny",
    engine: str = "auto",
    device: str = "auto",
    precision: str = "auto",
    max_disparity: int = 0,
    tile: int = 0,
    tile_overlap: int = 32,
) -> None:
    """Remove the rain from one stereo pair, or from two folders of pairs matched by name.

    Args:
        left: left image, or folder of left images.
        right: right image, or folder of right images.
        output: cleaned pairs go to OUTPUT/left/NAME.png and OUTPUT/right/NAME.png.
        model: a bundled preset or a .safetensors checkpoint.
        engine: auto, torch, openvino, onnxruntime or tensorrt.
        device: auto, cpu, cuda or cuda:N.
        precision: auto, float32, float16 or bfloat16.
        max_disparity: caps parallax attention at this disparity in px; 0 keeps the cap of the checkpoint.
        tile: rows to derain at a time, where memory is short; 0 takes whole images.
        tile_overlap: rows that neighbouring tiles share and blend.
    """
    from apanet_core.runtime.derainer import StereoDerainer
    from apanet_core.runtime.files import derain_files, match_pairs

    match_pairs(left, right)  # before the model is loaded, which takes seconds
    derainer = StereoDerainer(model, engine, device, precision, max_disparity, tile, tile_overlap)
    print(f"model {model}, engine {derainer.engine.name}, device {derainer.engine.device}", file=sys.stderr)
    count = derain_files(left, right, output, derainer)
    print(f"{count} pairs written to {output}")


def benchmark(
    models: list[str] = ["tiny"],  # noqa: B006 (jsonargparse copies defaults)
    engines: list[str] = ["openvino", "onnxruntime", "torch"],  # noqa: B006
    sizes: list[str] = ["640x480", "1242x375"],  # noqa: B006
    device: str = "auto",
    precision: str = "auto",
    max_disparity: int = 0,
    compiled: bool = False,
    against: str | None = None,
    repeats: int = 20,
    seconds: float = 30.0,
    json: Path | None = None,
) -> None:
    """Measure speed and memory of models and engines, side by side.

    Args:
        models: presets or .safetensors checkpoints.
        engines: torch, openvino, onnxruntime, tensorrt.
        sizes: WIDTHxHEIGHT in px.
        device: auto, cpu, cuda or cuda:N.
        precision: auto, float32, float16 or bfloat16.
        max_disparity: caps parallax attention at this disparity in px; 0 keeps the cap of the model.
        compiled: compile the torch engine.
        against: "dense" measures the torch engine once more with APAM's dense map, and prints ratios.
        repeats: most timed runs per row.
        seconds: most time per row.
        json: file to write the rows to as well.
    """
    from apanet_core.runtime.benchmark import Case, format_results, write_json
    from apanet_core.runtime.benchmark import benchmark as run

    if against not in (None, "dense"):
        raise ValueError(f"against must be dense: got {against!r}")
    cases = []
    for size in sizes:
        width, _, height = size.partition("x")
        if not (width.isdigit() and height.isdigit()):
            raise ValueError(f"sizes are WIDTHxHEIGHT in px, such as 1242x375: got {size!r}")
        for model in models:
            for engine in engines:
                forms = (False, True) if against and engine == "torch" else (False,)
                options = (device, precision, int(height), int(width), max_disparity, compiled)
                cases += [Case(model, engine, *options, dense) for dense in forms]
    results = run(cases, repeats, seconds)
    print(format_results(results))
    if json is not None:
        write_json(results, json)


def export(output: Path, model: str = "tiny", format: str = "onnx", height: int = 480, width: int = 640) -> None:
    """Write a model for another engine: (height, width, 3) uint8 RGB views in and out.

    Args:
        output: .onnx, .xml (OpenVINO) or .pt2 (torch-export).
        model: a bundled preset or a .safetensors checkpoint.
        format: onnx, openvino or torch-export.
        height: image height in px, for torch-export, whose size is fixed.
        width: image width in px, likewise.
    """
    from apanet_core.model.checkpoint import load_model
    from apanet_core.runtime.export import export as write

    write(load_model(model), output, format, (height, width))
    print(f"wrote {output}")


def import_checkpoint(published: Path, output: Path) -> None:
    """Convert a checkpoint of the code published with the paper.

    Args:
        published: a .pth file of that code.
        output: the .safetensors file to write.
    """
    from apanet_core.model.checkpoint import save_checkpoint
    from apanet_core.model.published import load_published

    if output.suffix != ".safetensors":
        raise ValueError(f"output must be a .safetensors file: got {output}")
    save_checkpoint(load_published(published), output, source=published.name)
    print(f"wrote {output}")


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
    """
    from apanet_core.evaluation.evaluate import Settings
    from apanet_core.evaluation.evaluate import evaluate as run
    from apanet_core.evaluation.inputs import named

    folders = {name: Path(folder) for name, folder in named(outputs).items()}
    settings = Settings(
        named(models, default_name=True), folders, disparity, max_disparity, limit, engine, device, lpips, pictures
    )
    print(run(data, out, settings))
    print(f"\nwritten: {out / 'report.html'}, {out / 'results.json'}, {out / 'per_image.csv'}")


def render_rain(
    clean: Path,
    out: Path = Path("rainy"),
    disparity: Path | None = None,
    focal_px: float | None = None,
    baseline_m: float | None = None,
    kind: str = "drops",
    rate: float = 50.0,
    exposure_s: float = 0.01,
    wind_mps: float = 0.0,
    camera_mps: float = 0.0,
    aperture_px: float = 1.5,
    veil: bool = True,
    lens_drops: float = 0.0,
    noise: float = 0.0,
    gain_spread: float = 0.0,
    jpeg_quality: int | None = None,
    max_disparity: int = 128,
    variants: int = 1,
    seed: int = 0,
    workers: int = 1,
) -> None:
    """Render rain over clean pairs, into a data set that train and evaluate read; continues where it was.

    Args:
        clean: folder of clean rectified pairs: left and right, image_2 and image_3, or a paired data set.
        out: folder to write rain_left, rain_right, gt_left, gt_right, mask_left, mask_right and rain.json to.
        disparity: folder of true disparities of the left views (16-bit PNG as KITTI's, .npy or .pfm); pairs without
            one are matched by SGBM.
        focal_px: focal length; without it KITTI's field of view is assumed.
        baseline_m: distance of the cameras; without it KITTI's is assumed.
        kind: drops (in space, seen by both cameras), streaks (2-D, each view its own) or both.
        rate: of the drops, mm/h: 10 moderate, 50 heavy, 100 a cloudburst.
        exposure_s: exposure time; longer makes longer streaks.
        wind_mps: wind to the right.
        camera_mps: forward speed of the camera; it makes streaks radial.
        aperture_px: blur of a point infinitely far behind a focus at 1 m; 0 for a pinhole.
        veil: whether distant drops veil the scene.
        lens_drops: drops to expect on the glass of each camera.
        noise: standard deviation of the sensor noise on the 8-bit scale.
        gain_spread: standard deviation of the logarithm of each camera's gain, which the clean views get too.
        jpeg_quality: 1 to 100, to send the rainy views through JPEG.
        max_disparity: how far SGBM searches, px.
        variants: different rains over every pair.
        seed: another seed, other rain.
        workers: processes.
    """
    from apanet_core.data.drops import Rain
    from apanet_core.data.render_folder import RenderSettings, describe, render_folder
    from apanet_core.data.sensor import Sensor

    rain = Rain(rate, exposure_s, (wind_mps, 0.0), camera_mps, aperture_px=aperture_px, veil=veil)
    sensor = Sensor(noise, gain_spread, jpeg_quality)
    settings = RenderSettings(kind, rain, lens_drops, sensor, focal_px, baseline_m, max_disparity, variants, seed)
    print(describe(clean, settings, disparity), file=sys.stderr)
    count = render_folder(clean, out, settings, disparity, workers)
    print(f"{count} rainy pairs in {out}")


def cut_dataset(
    bags: list[Path],
    left_topic: str,
    right_topic: str,
    out: Path = Path("dataset"),
    tolerance_s: float = 0.0,
    clip_s: float = 10.0,
    gap_s: float = 1.0,
    blur_below: float = 0.5,
    duplicate_below: float = 1.5,
    validation_share: float = 0.1,
) -> None:
    """Cut a data set of rainy pairs, laid out as StereoRealRain, out of recordings (MCAP or sqlite3).

    Args:
        bags: folders of the recordings, or files in them.
        left_topic: Image or CompressedImage topic of the left camera, rectified.
        right_topic: likewise of the right camera.
        out: folder to make: train/left, train/right, val/left, val/right, dataset.json.
        tolerance_s: largest stamp difference within a pair; 0 asks for equal stamps.
        clip_s: longest clip.
        gap_s: a pause that ends a clip.
        blur_below: drop pairs less sharp than this share of their clip's median.
        duplicate_below: drop pairs that differ less than this from the last one kept, in mean grey levels.
        validation_share: share of the clips that go to val.
    """
    from apanet_core.data.cut_dataset import CutSettings
    from apanet_core.data.cut_dataset import cut_dataset as run

    settings = CutSettings(
        left_topic, right_topic, tolerance_s, clip_s, gap_s, blur_below, duplicate_below, validation_share
    )
    content = run(bags, out, settings)
    dropped = ", ".join(f"{count} {reason}" for reason, count in content["dropped"].items())
    print(f"{content['kept']} of {content['pairs']} pairs kept in {len(content['clips'])} clips ({dropped}): {out}")


def info() -> None:
    """List the presets, their sizes, and the cards of the bundled weights."""
    from apanet_core.model.checkpoint import bundled_models
    from apanet_core.model.config import PRESETS
    from apanet_core.model.network import APANet
    from apanet_core.runtime.benchmark import count_gmac

    bundled = bundled_models()
    print("preset    parameters  GMAC of 128x128  receptive field  max_disparity  weights")
    for name, config in PRESETS.items():
        network = APANet(config)
        parameters = sum(p.numel() for p in network.parameters())
        print(
            f"{name:<8}{parameters:>12,}{count_gmac(network, 128, 128):>17.2f}{config.receptive_field:>14} px"
            f"{config.max_disparity or 'none':>12}    {'bundled' if name in bundled else 'none'}"
        )
    print(
        "\nGMAC count one pair. The receptive field is that of the convolutions; external attention adds a\n"
        "statistic of the whole image, parallax attention the row up to max_disparity px."
    )
    for name in bundled:
        card = Path(__file__).parent / "weights" / f"{name}.md"
        print(f"\n{card.read_text()}")


def train(config: TrainConfig) -> None:
    """Train a network as CONFIG (YAML) says; every value can be overridden, as in --steps 1000 --data.workers 2."""
    from apanet_core.training.loop import train as run

    print(f"best weights: {run(config)}")


COMMANDS: dict[str, Callable[..., None]] = {
    "derain": derain,
    "train": train,
    "import-checkpoint": import_checkpoint,
    "benchmark": benchmark,
    "evaluate": evaluate,
    "render-rain": render_rain,
    "cut-dataset": cut_dataset,
    "export": export,
    "info": info,
}


def main(argv: list[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the arguments; those of the process when None.

    Returns:
        0, or 2 after one line on what is wrong with the input.
    """
    parser = ArgumentParser(prog="apanet", description="Stereo image deraining with APANet.", exit_on_error=False)
    subcommands = parser.add_subcommands(required=True)
    for name, function in COMMANDS.items():
        summary = (function.__doc__ or "").split("\n\n")[0]
        subparser = ArgumentParser(description=summary, exit_on_error=False)
        if function is train:
            subparser.add_argument("--config", action=ActionConfigFile, help="YAML file; also as first argument")
            subparser.add_class_arguments(TrainConfig, as_group=False)
        elif function is cut_dataset:
            subparser.add_argument("bags", nargs="+", type=Path, help="folders of the recordings, or files in them")
            subparser.add_function_arguments(function, as_group=False, skip={"bags"})
        else:
            subparser.add_function_arguments(
                function, as_group=False, as_positional=function in (import_checkpoint, export, evaluate, render_rain)
            )
        subcommands.add_subcommand(name, subparser, help=summary)
    argv = [_underscored(argument) for argument in (sys.argv[1:] if argv is None else argv)]
    if len(argv) > 1 and argv[0] == "train" and not argv[1].startswith("-"):
        argv = ["train", "--config", *argv[1:]]
    try:
        values = parser.instantiate(parser.parse_args(argv))
        arguments = values[values.subcommand].as_dict()
        arguments.pop("config", None)
        COMMANDS[values.subcommand](
            **({"config": TrainConfig(**arguments)} if values.subcommand == "train" else arguments)
        )
    except BrokenPipeError:  # the reader of our output went away, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, TypeError, OSError, ImportError, MemoryError, FloatingPointError, ArgumentError) as error:
        print(f"apanet: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def _underscored(argument: str) -> str:
    """Let options be written with dashes too: --left-topic is --left_topic."""
    name, equals, value = argument.partition("=")
    return f"--{name[2:].replace('-', '_')}{equals}{value}" if name.startswith("--") else argument


if __name__ == "__main__":
    sys.exit(main())
