"""Remedy for a package that is not installed."""

from __future__ import annotations

import sys


def install_hint(error: BaseException) -> str:
    """Say how to install what an import did not find; empty for any other error."""
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return ""
    package = error.name.partition(".")[0].replace("_", "-")
    return f"; install it for this interpreter: {sys.executable} -m pip install {package}"
