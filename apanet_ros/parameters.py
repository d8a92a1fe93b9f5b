"""The node's parameters: each is defined once, in `NodeParameters`.

From that class come the declaration with its description and range, the checks of a value, config/derain.yaml and
docs/parameters.md; `python -m tools.write_parameters` writes the two files. The module imports no ROS package.
"""

from __future__ import annotations

import json
import re
import textwrap
from dataclasses import Field, dataclass, field, fields
from typing import Any


def parameter(
    default: Any,
    description: str,
    *,
    limits: tuple[float, float] | None = None,
    choices: tuple[str, ...] = (),
    pattern: str = "",
    unit: str = "",
    fixed: bool = False,
) -> Any:
    """Define a parameter as a field of a dataclass.

    Args:
        default: its type is the parameter's.
        description: one or more sentences.
        limits: smallest and largest value.
        choices: the values that a string may have; empty for any.
        pattern: a regular expression that a string must match; the description says it in words.
        unit: of the value.
        fixed: whether it is read when the node is configured; the others take effect at once.

    Returns:
        The field.
    """
    metadata = {
        "description": description,
        "limits": limits,
        "choices": choices,
        "pattern": pattern,
        "unit": unit,
        "fixed": fixed,
    }
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class NodeParameters:
    """Values of the node's parameters."""

    model: str = parameter("tiny", "Bundled preset, or path of a .safetensors checkpoint.", fixed=True)
    engine: str = parameter(
        "auto",
        "What runs the network. auto takes torch on CUDA, for half precision, with compiled and for the preset paper, "
        "else openvino where it is installed, else torch; tensorrt is ONNX Runtime's GPU build.",
        choices=("auto", "torch", "openvino", "onnxruntime", "tensorrt"),
        fixed=True,
    )
    device: str = parameter(
        "auto",
        "auto, cpu, cuda or cuda:N. auto is CUDA for torch and tensorrt where there is a GPU; onnxruntime wants cuda "
        "said, openvino has the CPU only.",
        pattern=r"auto|cpu|cuda(:\d+)?",
        fixed=True,
    )
    precision: str = parameter(
        "auto",
        "auto is float16 for torch on CUDA, else float32.",
        choices=("auto", "float32", "float16", "bfloat16"),
        fixed=True,
    )
    compiled: bool = parameter(
        False, "Compile the torch engine, with CUDA graphs on CUDA; the first pair of a size waits.", fixed=True
    )
    max_disparity: int = parameter(
        0, "Cap of parallax attention; 0 keeps that of the checkpoint.", limits=(0, 8192), unit="px", fixed=True
    )
    tile: int = parameter(
        0,
        "Rows to derain at a time where memory is short; 0 takes whole images.",
        limits=(0, 8192),
        unit="px",
        fixed=True,
    )
    tile_overlap: int = parameter(
        32, "Rows that neighbouring tiles share and blend.", limits=(0, 4096), unit="px", fixed=True
    )
    warmup_width: int = parameter(
        0,
        "Image width to prepare for on configure; 0 prepares when the first pair comes.",
        limits=(0, 8192),
        unit="px",
        fixed=True,
    )
    warmup_height: int = parameter(
        0,
        "Image height to prepare for on configure; 0 with a warmup_width of 0.",
        limits=(0, 8192),
        unit="px",
        fixed=True,
    )
    approximate_sync: bool = parameter(
        False,
        "Pair nearest stamps within tolerance_s instead of equal stamps only; each view keeps its own stamp.",
    )
    tolerance_s: float = parameter(
        0.01,
        "Largest stamp difference within a pair, with approximate_sync; keep it below half the time between images.",
        limits=(0.0, 10.0),
        unit="s",
    )
    queue_size: int = parameter(
        10,
        "Messages per view that wait for their partner, and depth of the subscriptions.",
        limits=(1, 1000),
        fixed=True,
    )
    input_reliability: str = parameter(
        "auto",
        "Reliability of the subscriptions. auto follows the publishers of images and of CameraInfo each; the "
        "durability of CameraInfo always follows them.",
        choices=("auto", "reliable", "best_effort"),
        fixed=True,
    )
    image_transport: str = parameter(
        "raw",
        "The kind of input images; compressed takes image_rect/compressed in place of image_rect.",
        choices=("raw", "compressed"),
        fixed=True,
    )
    jpeg_quality: int = parameter(
        95,
        "Quality of derained/*/image_rect/compressed where it is JPEG; PNG and 16-bit input stay PNG.",
        limits=(1, 100),
    )
    bypass_when_dry: bool = parameter(
        False, "Pass pairs through untouched while there is no rain; the network runs on one pair every recheck_s."
    )
    dry_threshold: float = parameter(
        0.3,
        "A pair is dry below this rain level (mean change made by the network). With tiny the level is 0.0 to 0.2 on "
        "33 real dry pairs (median 0.0), 0.0 to 2.5 (0.2) in rendered rain of 2 mm/h, 0.1 to 11 (2.7) at 12 mm/h.",
        limits=(0.0, 255.0),
        unit="grey levels",
    )
    wet_threshold: float = parameter(
        0.5,
        "The bypass ends above this rain level; at least dry_threshold.",
        limits=(0.0, 255.0),
        unit="grey levels",
    )
    dry_pairs: int = parameter(10, "Dry pairs in a row that begin the bypass.", limits=(1, 10000))
    recheck_s: float = parameter(
        2.0,
        "While pairs are bypassed, time between two runs of the network: rain is noticed that late.",
        limits=(0.0, 3600.0),
        unit="s",
    )
    on_failure: str = parameter(
        "passthrough", "What to do with a pair that the network fails on.", choices=("passthrough", "drop")
    )
    network_timeout_s: float = parameter(
        30.0,
        "Time limit for a pair. While a pair exceeds it, this pair and the next ones follow on_failure.",
        limits=(0.1, 3600.0),
        unit="s",
    )
    first_pair_timeout_s: float = parameter(
        600.0,
        "Time limit for the first pair of a size with compiled or tensorrt, which build for it.",
        limits=(0.1, 86400.0),
        unit="s",
    )
    max_megapixels: float = parameter(
        16.0,
        "Larger images are refused before anything is allocated for them.",
        limits=(0.001, 1000.0),
        unit="megapixels",
    )
    lazy: bool = parameter(True, "Take images only while somebody subscribes to an output.")
    autostart: bool = parameter(
        True, "Configure and activate at start; false waits for a lifecycle manager.", fixed=True
    )

    @property
    def pairing_tolerance_s(self) -> float:
        """Tolerance of the synchroniser: 0 unless approximate."""
        return self.tolerance_s if self.approximate_sync else 0.0


def definitions() -> dict[str, Field[Any]]:
    """The fields of `NodeParameters` by name; `parameter` says what is in their metadata."""
    return {definition.name: definition for definition in fields(NodeParameters)}


def description(definition: Field[Any]) -> str:
    """Describe a parameter in one line: its unit, its choices, when it takes effect."""
    choices, unit, fixed = (definition.metadata[key] for key in ("choices", "unit", "fixed"))
    parts = [
        definition.metadata["description"],
        f"Unit: {unit}." if unit else "",
        f"One of {', '.join(choices)}." if choices else "",
        "Read on configure." if fixed else "",
    ]
    return " ".join(filter(None, parts))


def default_text(definition: Field[Any]) -> str:
    """The default as YAML has it: true, 0.3, auto."""
    return definition.default if isinstance(definition.default, str) else json.dumps(definition.default)


def help_lines() -> list[str]:
    """The parameters for a command line, one a paragraph."""
    return [
        textwrap.fill(
            f"{name} ({default_text(definition)}): {description(definition)}",
            100,
            initial_indent="  ",
            subsequent_indent="      ",
        )
        for name, definition in definitions().items()
    ]


def check(values: dict[str, Any]) -> None:
    """Raise ValueError unless every value is among its choices or matches its pattern, and the thresholds are in order.

    Args:
        values: by parameter name; names may be missing, but not one of the thresholds alone.
    """
    for name, definition in definitions().items():
        choices, pattern = definition.metadata["choices"], definition.metadata["pattern"]
        if choices and name in values and values[name] not in choices:
            raise ValueError(f"{name} must be one of {', '.join(choices)}: got {values[name]!r}")
        if pattern and name in values and not re.fullmatch(pattern, str(values[name])):
            raise ValueError(
                f"{name} must be {definition.metadata['description'].partition('.')[0]}: got {values[name]!r}"
            )
    if "dry_threshold" in values and values["dry_threshold"] > values["wet_threshold"]:
        raise ValueError(
            "dry_threshold must not be above wet_threshold, or the node would switch with every pair: got "
            f"{values['dry_threshold']} and {values['wet_threshold']}; to set one at a time, "
            "raise wet_threshold or lower dry_threshold first"
        )
