"""Entry point of the node `derain_node`; imports nothing that may be missing."""

from __future__ import annotations

from collections.abc import Callable

from apanet_core.missing import run_program


def main() -> int:
    """Run `derain_node`."""
    return run_program("derain_node", _load)


def _load() -> Callable[[], int]:
    from apanet_ros.derain_node import main

    return main
