"""Entry point of the command `apanet`; imports nothing that may be missing."""

from __future__ import annotations

from collections.abc import Callable

from apanet_core.missing import run_program


def main() -> int:
    """Run `apanet`."""
    return run_program("apanet", _load)


def _load() -> Callable[[], int]:
    from apanet_core.commands.main import main

    return main
