"""apanet benchmark"""

from __future__ import annotations

from pathlib import Path


def run(
    models: list[str] = ["tiny"],  # noqa: B006 (jsonargparse copies defaults)
    engines: list[str] = ["openvino", "torch"],  # noqa: B006
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
    """Measure and compare speed and memory of models and engines.

    Args:
        models: presets or .safetensors checkpoints.
        engines: torch, openvino.
        sizes: WIDTHxHEIGHT in px.
        device: auto, cpu, cuda or cuda:N.
        precision: auto, float32, float16 or bfloat16.
        max_disparity: limit of parallax attention in px; 0 keeps the limit of the model.
        compiled: compile the torch engine.
        against: "dense" also measures the torch engine with APAM's dense map, and prints ratios.
        repeats: largest number of timed runs per row.
        seconds: time limit per row.
        json: file to which the rows are also written.
    """
    from apanet_core.benchmark import Case, format_results, write_json
    from apanet_core.benchmark import benchmark as measure
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
    results = measure(cases, repeats, seconds)
    print(format_results(results))
    if json is not None:
        write_json(results, json)
