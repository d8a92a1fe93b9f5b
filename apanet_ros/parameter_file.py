"""ROS parameter files, read before the node that they are for is started."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml


def parameters_of(node: str, path: Path) -> dict[str, Any]:
    """What a parameter file says of a node.

    Args:
        node: full name, such as /stereo/derain.
        path: YAML of node names and their ``ros__parameters``; names may be nested, ``*`` stands for one part of a name
            and ``**`` for any number, none included.

    Returns:
        Values by name; the last section that fits wins.
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
