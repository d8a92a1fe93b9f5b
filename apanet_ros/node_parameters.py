"""Declare, read and validate the parameters on a node. `parameters` defines them."""

from __future__ import annotations

import difflib
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.parameter import Parameter

from apanet_ros.parameters import NodeParameters, check, definitions, description


def declare(node: Any) -> None:
    """Declare every parameter on `node`."""
    for name, definition in definitions().items():
        descriptor = ParameterDescriptor(description=description(definition))
        limits = definition.metadata["limits"]
        if limits and isinstance(definition.default, float):
            descriptor.floating_point_range = [FloatingPointRange(from_value=limits[0], to_value=limits[1], step=0.0)]
        elif limits:
            descriptor.integer_range = [IntegerRange(from_value=int(limits[0]), to_value=int(limits[1]), step=1)]
        node.declare_parameter(name, definition.default, descriptor)


def suggest_names(node: Any) -> dict[str, str]:
    """Map each given name that is not a parameter, but similar to one, to that parameter.

    Other unknown names are ignored: a parameter file may serve several nodes. rclpy has no public API for given names.
    """
    given = [name for name in getattr(node, "_parameter_overrides", {}) if not node.has_parameter(name)]
    nearest = {name: difflib.get_close_matches(name, definitions(), n=1, cutoff=0.8) for name in given}
    return {name: close[0] for name, close in nearest.items() if close}


def read(node: Any) -> NodeParameters:
    """Read the current values.

    Args:
        node: the rclpy node that declared the parameters.

    Returns:
        The values.

    Raises:
        ValueError: a value is not among its choices, or two values contradict each other.
    """
    values = NodeParameters(**{name: node.get_parameter(name).value for name in definitions()})
    check(vars(values))
    if bool(values.warmup_width) != bool(values.warmup_height):
        raise ValueError(
            "warmup_width and warmup_height belong together, 0 and 0 for no warm-up: got "
            f"{values.warmup_width} and {values.warmup_height}"
        )
    return values


def check_change(node: Any, parameters: list[Parameter], loaded: dict[str, str] | None) -> SetParametersResult:
    """Refuse invalid values, and changes that need a new configuration; the value in force is always accepted.

    Args:
        node: the rclpy node that declared the parameters.
        parameters: the new values.
        loaded: model, engine and precision that "auto" stands for; None while no model is loaded.

    Returns:
        The result for the parameter service.
    """
    thresholds = {name: node.get_parameter(name).value for name in ("dry_threshold", "wet_threshold")}
    try:
        check({**thresholds, **{parameter.name: parameter.value for parameter in parameters}})
    except ValueError as error:
        return SetParametersResult(successful=False, reason=str(error))
    for parameter in parameters:
        definition = definitions().get(parameter.name)  # None for rclpy's parameters, such as use_sim_time
        if loaded is None or definition is None or not definition.metadata["fixed"]:
            continue
        if parameter.value not in (node.get_parameter(parameter.name).value, loaded.get(parameter.name)):
            reason = f"{parameter.name} is read on configure: deactivate and clean up the node, then set it"
            return SetParametersResult(successful=False, reason=reason)
    return SetParametersResult(successful=True)
