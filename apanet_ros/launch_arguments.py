"""Arguments of derain.launch.py, among them every parameter of the node; imports no ROS package."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from apanet_ros.parameters import default_text, definitions, description


class LaunchArgument(NamedTuple):
    """Default, description and allowed values of a launch argument; `choices` None allows any value."""

    default: str
    description: str
    choices: list[str] | None = None


TOPICS = {  # argument -> topic to remap
    "left_image": "left/image_rect",
    "right_image": "right/image_rect",
    "left_camera_info": "left/camera_info",
    "right_camera_info": "right/camera_info",
}
SEVERITIES = [level for name in ("debug", "info", "warn", "error", "fatal") for level in (name, name.upper())]
KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
TYPES = {"use_sim_time": bool, **{name: type(definition.default) for name, definition in definitions().items()}}


def arguments() -> dict[str, LaunchArgument]:
    """Return all arguments by name; a parameter with an empty argument keeps its value from `params_file`."""
    own = {
        "namespace": LaunchArgument("", "Namespace of the node and of every relative topic, such as the camera's."),
        "left_image": LaunchArgument("left/image_rect", "Left rectified image topic."),
        "right_image": LaunchArgument("right/image_rect", "Right rectified image topic."),
        "left_camera_info": LaunchArgument("left/camera_info", "CameraInfo of the left view."),
        "right_camera_info": LaunchArgument("right/camera_info", "CameraInfo of the right view."),
        "params_file": LaunchArgument(
            "",
            "YAML parameter file, such as a copy of the package's config/derain.yaml; arguments override it.",
        ),
        "log_level": LaunchArgument("info", "Lowest severity to log; debug logs the result of every pair.", SEVERITIES),
        "enclave": LaunchArgument("", "SROS 2 enclave of the node, such as /derain."),
        "use_sim_time": LaunchArgument("", "true takes the time from /clock, for bags played with --clock."),
    }
    for name, definition in definitions().items():
        choices = definition.metadata["choices"]
        own[name] = LaunchArgument(
            "",
            f"{description(definition, with_choices=False)} Default: {default_text(definition)}.",
            ["", *choices] if choices else None,
        )
    return own


def parameters_of_arguments(given: dict[str, str]) -> dict[str, Any]:
    """Convert launch arguments to node parameters.

    Args:
        given: launch arguments as text, by name; empty ones are skipped.

    Returns:
        Values by parameter name, in the type of the parameter.

    Raises:
        ValueError: a text does not parse to the type of its parameter.
    """
    return {name: _parse(name, given[name], kind) for name, kind in TYPES.items() if given.get(name)}


def refuse_unknown(launch_file: Path, known: Collection[str], command: list[str]) -> None:
    """Refuse an argument that does not exist, where `ros2 launch` was called with this very launch file.

    An include is not checked: launch hands it the arguments of the file around it, too.

    Args:
        launch_file: path of the launch file.
        known: names of its arguments.
        command: command line of the process.

    Raises:
        ValueError: an argument does not exist.
    """
    by_package = ("apanet_ros", launch_file.name) in pairwise(command)
    if not by_package and launch_file.resolve() not in [Path(word).resolve() for word in command]:
        return
    given = [name for name, assigned, _ in (word.partition(":=") for word in command) if assigned]
    for name in given:
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1)
            meant = f"did you mean {nearest[0]!r}? " if nearest else ""
            raise ValueError(
                f"there is no launch argument {name!r}: {meant}All: ros2 launch apanet_ros {launch_file.name} -s"
            )


def absolute_namespace(pushed: str, namespace: str) -> str:
    """Join a pushed ROS namespace and a node's `namespace`: /robot and stereo give /robot/stereo."""
    parts = [namespace] if namespace.startswith("/") else [pushed, namespace]
    return "".join(f"/{part.strip('/')}" for part in parts if part.strip("/"))


def _parse(name: str, text: str, kind: type) -> Any:
    value: Any = text if kind is str else yaml.safe_load(text)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"{name}: expected {KINDS[kind]}, got {text!r}")
    return value
