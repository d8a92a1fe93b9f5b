"""Write config/derain.yaml and docs/parameters.md from the definition of the node's parameters.

Run: .venv/bin/python -m tools.write_parameters
"""

from __future__ import annotations

import textwrap
from pathlib import Path

from apanet_ros.parameters import default_text, definitions, description

ROOT = Path(__file__).parents[1]
TYPES = {"str": "string", "float": "double", "bool": "bool", "int": "integer"}


def yaml_file() -> str:
    """Return the text of config/derain.yaml."""
    lines = [
        "# Parameters of derain_node with their defaults, written by tools/write_parameters.py.",
        "# Launch arguments that are given win over this file.",
        "/**:",
        "  ros__parameters:",
    ]
    for name, definition in definitions().items():
        lines += textwrap.wrap(description(definition), 112, initial_indent="    # ", subsequent_indent="    # ")
        lines.append(f"    {name}: {default_text(definition)}")
    return "\n".join(lines) + "\n"


def table() -> str:
    """Return the text of docs/parameters.md."""
    lines = [
        "# Parameters of derain_node",
        "",
        "`tools/write_parameters.py` writes this page from `apanet_ros/parameters.py`. A fixed parameter is read when",
        "the node is configured (`autostart`: at start). Clean up the node to change it. Others take effect at once.",
        "",
        "| parameter | type | default | range or choices | unit | fixed | meaning |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, definition in definitions().items():
        about = definition.metadata
        limits = "" if about["limits"] is None else " to ".join(f"{limit:g}" for limit in about["limits"])
        allowed = limits or ", ".join(f"`{choice}`" for choice in about["choices"])
        cells = [
            f"`{name}`",
            TYPES[type(definition.default).__name__],
            f"`{default_text(definition)}`",
            allowed,
            about["unit"],
        ]
        cells += ["yes" if about["fixed"] else "", about["description"]]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


FILES = {"config/derain.yaml": yaml_file, "docs/parameters.md": table}


def main() -> None:
    """Write the files."""
    for name, text in FILES.items():
        (ROOT / name).write_text(text())
        print(name)


if __name__ == "__main__":
    main()
