"""What torch.compile needs of a machine."""

from __future__ import annotations

import os
import shutil

COMPILERS = ("g++", "clang++", "c++")


def check_compiler() -> None:
    """Say that torch.compile cannot work here, in place of the hundred lines that it says itself.

    Raises:
        ValueError: there is no C++ compiler.
    """
    named = os.environ.get("CXX")
    if not any(shutil.which(compiler) for compiler in ([named] if named else COMPILERS)):
        raise ValueError(
            f"torch.compile needs a C++ compiler, and there is no {named or ', '.join(COMPILERS)}: install one (apt "
            "install g++), or leave compile and compiled off"
        )
