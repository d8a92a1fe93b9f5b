"""Definitions of the node's parameters, in `NodeParameters`.

The declarations on the node, the checks of values, config/derain.yaml and docs/parameters.md derive from that class;
`python -m tools.write_parameters` writes the two files. This module imports no ROS package.
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
        default: default value, whose type is the type of the parameter.
        description: one or more sentences.
        limits: smallest and largest allowed value; None for no limits.
        choices: allowed values of a string; empty allows any.
        pattern: regular expression that a string must match; the description begins with the same rule in words.
        unit: unit of the value, such as px or s.
        fixed: True: cannot change while the node is configured; False: a change takes effect at once.

    Returns:
        The dataclass field.
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

    model: str = parameter(
        "auto",
        "Bundled preset, or path of a .safetensors checkpoint. auto takes small on CUDA, else tiny.",
        fixed=True,
    )
    engine: str = parameter(
        "auto",
        "Inference engine. auto takes torch on CUDA, for float16, with compiled, for the preset paper, and if openvino "
        "is not installed; otherwise openvino.",
        choices=("auto", "torch", "openvino"),
        fixed=True,
    )
    device: str = parameter(
        "auto",
        "auto, cpu, cuda or cuda:N. auto takes CUDA for torch if there is a GPU; openvino runs on the CPU only.",
        pattern=r"auto|cpu|cuda(:\d+)?",
        fixed=True,
    )
    precision: str = parameter(
        "auto",
        "Precision of inference. auto takes float16 for torch on CUDA; bfloat16 for openvino if the CPU has it; else "
        "float32.",
        choices=("auto", "float32", "float16", "bfloat16"),
        fixed=True,
    )
    compiled: bool = parameter(
        False,
        "Compile the torch engine; the first pair of each size waits for that.",
        fixed=True,
    )
    max_disparity: int = parameter(
        0,
        "Largest disparity of parallax attention; 0 keeps the checkpoint's limit.",
        limits=(0, 8192),
        unit="px",
        fixed=True,
    )
    tile: int = parameter(
        0,
        "Derain this many rows at a time, to save memory; 0 derains whole images.",
        limits=(0, 8192),
        unit="px",
        fixed=True,
    )
    tile_overlap: int = parameter(
        32, "Rows that neighbouring tiles share and blend.", limits=(0, 4096), unit="px", fixed=True
    )
    warmup_width: int = parameter(
        0,
        "Image width for the warm-up on configure; 0 warms up with the first pair.",
        limits=(0, 8192),
        unit="px",
        fixed=True,
    )
    warmup_height: int = parameter(
        0,
        "Image height for the warm-up on configure; 0 if and only if warmup_width is 0.",
        limits=(0, 8192),
        unit="px",
        fixed=True,
    )
    approximate_sync: bool = parameter(
        False,
        "Pair nearest stamps within tolerance_s instead of equal stamps only. Each view keeps its stamp.",
    )
    tolerance_s: float = parameter(
        0.01,
        "Largest stamp difference within a pair, with approximate_sync; keep it below half the time between images.",
        limits=(0.0, 10.0),
        unit="s",
    )
    queue_size: int = parameter(
        10,
        "Largest number of waiting messages per view, and depth of the subscriptions.",
        limits=(1, 1000),
        fixed=True,
    )
    input_reliability: str = parameter(
        "auto",
        "Reliability of the subscriptions. auto follows the publishers, for images and CameraInfo separately. The "
        "durability of CameraInfo always follows its publishers.",
        choices=("auto", "reliable", "best_effort"),
        fixed=True,
    )
    image_transport: str = parameter(
        "raw",
        "Transport of the input images; compressed subscribes to image_rect/compressed instead of image_rect.",
        choices=("raw", "compressed"),
        fixed=True,
    )
    jpeg_quality: int = parameter(
        95,
        "JPEG quality of derained/*/image_rect/compressed. PNG input and 16-bit images are published as PNG.",
        limits=(1, 100),
    )
    bypass_when_dry: bool = parameter(
        False, "Publish pairs unchanged while there is no rain; the network runs on one pair every recheck_s."
    )
    dry_threshold: float = parameter(
        0.3,
        "The bypass starts after dry_pairs pairs in a row with a rain level (mean change by the network) below this. "
        "With tiny, 32 real dry pairs have 0.0; ten with rendered rain have a median of 0.9 at 2 mm/h, 7.4 at 12 mm/h.",
        limits=(0.0, 255.0),
        unit="grey levels",
    )
    wet_threshold: float = parameter(
        0.5,
        "The bypass ends above this rain level, which must be at least dry_threshold.",
        limits=(0.0, 255.0),
        unit="grey levels",
    )
    dry_pairs: int = parameter(10, "Number of dry pairs in a row that start the bypass.", limits=(1, 10000))
    recheck_s: float = parameter(
        2.0,
        "Time between two runs of the network during the bypass, hence the longest delay until rain is noticed.",
        limits=(0.0, 3600.0),
        unit="s",
    )
    on_failure: str = parameter(
        "passthrough",
        "What to do with a pair if the network fails: publish it unchanged, or drop it.",
        choices=("passthrough", "drop"),
    )
    network_timeout_s: float = parameter(
        30.0,
        "Time limit for a pair. While a pair exceeds it, this pair and the next ones follow on_failure.",
        limits=(0.1, 3600.0),
        unit="s",
    )
    first_pair_timeout_s: float = parameter(
        600.0,
        "Time limit for the first pair of each image size with compiled, which compiles for each size.",
        limits=(0.1, 86400.0),
        unit="s",
    )
    max_megapixels: float = parameter(
        16.0,
        "Largest accepted image; larger ones are refused before memory is allocated for them.",
        limits=(0.001, 1000.0),
        unit="megapixels",
    )
    lazy: bool = parameter(True, "Subscribe to the inputs only while an output has a subscriber.")
    autostart: bool = parameter(
        True, "Configure and activate at start; false leaves that to a lifecycle manager.", fixed=True
    )

    @property
    def pairing_tolerance_s(self) -> float:
        """Stamp tolerance for the synchroniser in s; 0 without `approximate_sync`."""
        return self.tolerance_s if self.approximate_sync else 0.0


def definitions() -> dict[str, Field[Any]]:
    """Return the fields of `NodeParameters` by name; `parameter` documents their metadata."""
    return {definition.name: definition for definition in fields(NodeParameters)}


def description(definition: Field[Any], with_choices: bool = True) -> str:
    """Return the description of a parameter with its range, unit and choices, and whether it is fixed."""
    choices, limits, unit, fixed = (definition.metadata[key] for key in ("choices", "limits", "unit", "fixed"))
    parts = [
        definition.metadata["description"],
        f"From {limits[0]:g} to {f'{limits[1]:g} {unit}'.strip()}." if limits else f"Unit: {unit}." if unit else "",
        f"One of {', '.join(choices)}." if choices and with_choices else "",
        "Fixed once configured." if fixed else "",
    ]
    return " ".join(filter(None, parts))


def default_text(definition: Field[Any]) -> str:
    """Return the default as YAML text: true, 0.3, auto."""
    return definition.default if isinstance(definition.default, str) else json.dumps(definition.default)


def help_lines() -> list[str]:
    """Return the help text of the parameters, a paragraph for each."""
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
    """Raise ValueError for a value outside its choices or pattern, or if dry_threshold is above wet_threshold.

    Args:
        values: values by parameter name; names may be missing, except that dry_threshold needs wet_threshold.
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
