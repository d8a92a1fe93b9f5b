"""The node's parameters: declared with description and range, read into one frozen value."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.parameter import Parameter

from apanet_ros.bypass import BypassSettings

_DRY = BypassSettings()
# name: (default, description, lowest and highest value or None)
_DECLARATIONS: dict[str, tuple[Any, str, tuple[float, float] | None]] = {
    "model": ("tiny", "Bundled preset, or path of a .safetensors checkpoint.", None),
    "engine": (
        "auto",
        "auto, torch, openvino, onnxruntime or tensorrt; auto takes torch on CUDA, else openvino.",
        None,
    ),
    "device": ("auto", "auto, cpu, cuda or cuda:N.", None),
    "precision": ("auto", "auto, float32, float16 or bfloat16; auto is float16 for torch on CUDA, else float32.", None),
    "compiled": (False, "Compile the torch engine, with CUDA graphs on CUDA; the first pair of a size waits.", None),
    "max_disparity": (0, "Cap of parallax attention in px; 0 keeps that of the checkpoint.", (0, 8192)),
    "tile": (0, "Rows to derain at a time where memory is short; 0 takes whole images.", (0, 8192)),
    "tile_overlap": (32, "Rows that neighbouring tiles share and blend.", (0, 4096)),
    "warmup_width": (
        0,
        "Image width in px to prepare for on configure; 0 prepares when the first pair comes.",
        (0, 8192),
    ),
    "warmup_height": (0, "Image height in px to prepare for on configure; 0 as for warmup_width.", (0, 8192)),
    "approximate_sync": (False, "Pair nearest stamps within tolerance_s, in place of equal stamps only.", None),
    "tolerance_s": (0.01, "Largest stamp difference within a pair, in seconds, with approximate_sync.", (0.0, 10.0)),
    "queue_size": (10, "Messages per view that wait for their partner.", (1, 1000)),
    "input_reliability": ("auto", "auto, reliable or best_effort; auto follows the publishers.", None),
    "image_transport": ("raw", "raw or compressed: the kind of input images.", None),
    "jpeg_quality": (95, "Of derained/*/image_rect/compressed where the input did not come as PNG.", (1, 100)),
    "bypass_when_dry": (_DRY.enabled, "Pass pairs through untouched, at no cost, while there is no rain.", None),
    "dry_threshold": (
        _DRY.dry_threshold,
        "Rain level (mean change in grey levels) below which a pair is dry.",
        (0.0, 255.0),
    ),
    "wet_threshold": (
        _DRY.wet_threshold,
        "Rain level above which the bypass ends; at least dry_threshold.",
        (0.0, 255.0),
    ),
    "dry_pairs": (_DRY.dry_pairs, "Dry pairs in a row that begin the bypass.", (1, 10000)),
    "recheck_s": (_DRY.recheck_s, "While bypassing, run the network on one pair in so many seconds.", (0.0, 3600.0)),
    "on_failure": ("passthrough", "passthrough or drop: what to do with a pair that the network fails on.", None),
    "network_timeout_s": (
        30.0,
        "A pair that is in the network for longer follows on_failure, and so do those after it until it comes back.",
        (0.1, 3600.0),
    ),
    "first_pair_timeout_s": (
        600.0,
        "The same for the first pair of a size with compiled or tensorrt, which build for it.",
        (0.1, 86400.0),
    ),
    "max_megapixels": (16.0, "Images of more are refused before anything is allocated for them.", (0.001, 1000.0)),
    "lazy": (True, "Take images only while somebody subscribes to an output.", None),
    "autostart": (True, "Configure and activate at start; false waits for a lifecycle manager.", None),
}
CHOICES = {
    "engine": ("auto", "torch", "openvino", "onnxruntime", "tensorrt"),
    "precision": ("auto", "float32", "float16", "bfloat16"),
    "input_reliability": ("auto", "reliable", "best_effort"),
    "image_transport": ("raw", "compressed"),
    "on_failure": ("passthrough", "drop"),
}
# These are read when the node is configured; the others take effect at once.
READ_ON_CONFIGURE = (
    "model",
    "engine",
    "device",
    "precision",
    "compiled",
    "max_disparity",
    "tile",
    "tile_overlap",
    "warmup_width",
    "warmup_height",
    "queue_size",
    "input_reliability",
    "image_transport",
    "autostart",
)


@dataclass(frozen=True)
class NodeParameters:
    """Values of the parameters of the same names."""

    model: str
    engine: str
    device: str
    precision: str
    compiled: bool
    max_disparity: int
    tile: int
    tile_overlap: int
    warmup_width: int
    warmup_height: int
    approximate_sync: bool
    tolerance_s: float
    queue_size: int
    input_reliability: str
    image_transport: str
    jpeg_quality: int
    bypass_when_dry: bool
    dry_threshold: float
    wet_threshold: float
    dry_pairs: int
    recheck_s: float
    on_failure: str
    network_timeout_s: float
    first_pair_timeout_s: float
    max_megapixels: float
    lazy: bool
    autostart: bool

    @property
    def pairing_tolerance_s(self) -> float:
        """Tolerance of the synchroniser: 0 unless approximate."""
        return self.tolerance_s if self.approximate_sync else 0.0

    @property
    def bypass(self) -> BypassSettings:
        """The parameters of the bypass."""
        return BypassSettings(
            self.bypass_when_dry, self.dry_threshold, self.wet_threshold, self.dry_pairs, self.recheck_s
        )


def declare(node: Any) -> None:
    """Declare every parameter on `node`."""
    for name, (default, description, limits) in _DECLARATIONS.items():
        descriptor = ParameterDescriptor(description=description)
        if limits and isinstance(default, float):
            descriptor.floating_point_range = [FloatingPointRange(from_value=limits[0], to_value=limits[1], step=0.0)]
        elif limits:
            descriptor.integer_range = [IntegerRange(from_value=int(limits[0]), to_value=int(limits[1]), step=1)]
        node.declare_parameter(name, default, descriptor)


def misspelt(node: Any) -> dict[str, str]:
    """Names the node was given that it does not have and that are nearly one it has -> that one.

    Others are left alone: a parameter file may serve several nodes. rclpy has no public way to ask what was given.
    """
    given = [name for name in getattr(node, "_parameter_overrides", {}) if not node.has_parameter(name)]
    nearest = {name: difflib.get_close_matches(name, _DECLARATIONS, n=1, cutoff=0.8) for name in given}
    return {name: close[0] for name, close in nearest.items() if close}


def read(node: Any) -> NodeParameters:
    """Read the current values.

    Args:
        node: where they were declared.

    Returns:
        The values.

    Raises:
        ValueError: a value that is none of those there are.
    """
    values = NodeParameters(**{name: node.get_parameter(name).value for name in _DECLARATIONS})
    check(vars(values))
    if bool(values.warmup_width) != bool(values.warmup_height):
        raise ValueError(
            "warmup_width and warmup_height belong together, 0 and 0 for no warm-up: got "
            f"{values.warmup_width} and {values.warmup_height}"
        )
    return values


def check(values: dict[str, Any]) -> None:
    """Raise ValueError unless every value is one of its choices, and the thresholds are in order.

    Args:
        values: by parameter name; names may be missing, but not one of the thresholds alone.
    """
    for name, choices in CHOICES.items():
        if name in values and values[name] not in choices:
            raise ValueError(f"{name} must be one of {', '.join(choices)}: got {values[name]!r}")
    if "dry_threshold" in values:
        BypassSettings(dry_threshold=values["dry_threshold"], wet_threshold=values["wet_threshold"])


def check_change(node: Any, parameters: list[Parameter], configured: bool) -> SetParametersResult:
    """Refuse changes that could not take effect; a value that is in force already is accepted.

    Args:
        node: where they were declared.
        parameters: the change.
        configured: whether the node holds a model already.

    Returns:
        What the parameter service answers.
    """
    thresholds = {name: node.get_parameter(name).value for name in ("dry_threshold", "wet_threshold")}
    try:
        check({**thresholds, **{parameter.name: parameter.value for parameter in parameters}})
    except ValueError as error:
        return SetParametersResult(successful=False, reason=str(error))
    for parameter in parameters:
        fixed = configured and parameter.name in READ_ON_CONFIGURE
        if fixed and parameter.value != node.get_parameter(parameter.name).value:
            reason = f"{parameter.name} is read on configure: deactivate and clean up the node, then set it"
            return SetParametersResult(successful=False, reason=reason)
    return SetParametersResult(successful=True)
