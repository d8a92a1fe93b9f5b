"""Commands that run models, measure them and turn them into other files."""

from __future__ import annotations

import sys
from pathlib import Path


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
    from apanet_core.commands.derain_files import derain_files
    from apanet_core.derainer import StereoDerainer
    from apanet_core.images.pair_files import match_pairs

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
    from apanet_core.benchmark import Case, format_results, write_json
    from apanet_core.benchmark import benchmark as run
    from apanet_core.engines.choose import ENGINES

    if against is not None and (against != "dense" or "torch" not in engines):
        raise ValueError(f"against must be dense, with the engine torch: got {against!r}, {', '.join(engines)}")
    unknown = sorted(set(engines) - set(ENGINES))
    if unknown:
        raise ValueError(f"unknown engine {unknown[0]!r}: choose among {', '.join(ENGINES)}")
    if repeats < 1:
        raise ValueError(f"repeats must be at least 1: got {repeats}")
    if json is not None and not json.parent.is_dir():
        raise FileNotFoundError(f"no folder {json.parent} to write {json.name} to")
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


def export(output: Path, model: str = "tiny", format: str | None = None, height: int = 480, width: int = 640) -> None:
    """Write a model for another engine: (height, width, 3) uint8 RGB views in and out.

    Args:
        output: .onnx, .xml (OpenVINO) or .pt2 (torch-export).
        model: a bundled preset or a .safetensors checkpoint.
        format: onnx, openvino or torch-export; the suffix of `output` tells when it is not given.
        height: image height in px, for torch-export, whose size is fixed.
        width: image width in px, likewise.
    """
    from apanet_core.engines.export import export as write
    from apanet_core.model.checkpoint import load_model

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


def info() -> None:
    """List the presets, their sizes, the cards of the bundled weights and what they were trained on."""
    from apanet_core.benchmark import count_gmac
    from apanet_core.model.checkpoint import bundled_models
    from apanet_core.model.config import PRESETS
    from apanet_core.model.network import APANet

    bundled = bundled_models()
    print("preset          parameters  GMAC of 128x128  receptive field  max_disparity  weights")
    for name, config in PRESETS.items():
        network = APANet(config)
        parameters = sum(p.numel() for p in network.parameters())
        print(
            f"{name:<14}{parameters:>12,}{count_gmac(network, 128, 128):>17.2f}{config.receptive_field:>14} px"
            f"{config.max_disparity or 'none':>12}    {'bundled' if name in bundled else 'none'}"
        )
    print(
        "\nGMAC count one pair. The receptive field is that of the convolutions; external attention adds a\n"
        "statistic of the whole image, parallax attention the row up to max_disparity px."
    )
    for card in (*bundled, "data"):
        text = (Path(__file__).parents[1] / "weights" / f"{card}.md").read_text()
        print(f"\n{text}")
