"""Read ROS parameter files before their node starts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml


def parameters_of(node: str, path: Path) -> dict[str, Any]:
    """Return the parameters that a file sets for a node.

    Args:
        node: full name, such as /stereo/derain.
        path: YAML file of node names and their ``ros__parameters``. Names may be nested; ``*`` matches one part of a
            name and ``**`` any number of parts, zero included.

    Returns:
        Values by parameter name; the last matching section takes precedence.
    """
    return _found(node, yaml.safe_load(path.read_text()) or {}, "")


def _found(node: str, sections: dict[str, Any], above: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, section in sections.items():
        if key == "ros__parameters":
            pattern = re.escape(above).replace(r"/\*\*", "(/[^/]+)*").replace(r"/\*", "/[^/]+")
            found |= (section or {}) if re.fullmatch(pattern, node) else {}
        elif isinstance(section, dict):
            found |= _found(node, section, f"{above}/{str(key).strip('/')}")
    return found
