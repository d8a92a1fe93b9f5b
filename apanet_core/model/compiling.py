"""Requirements of torch.compile."""

from __future__ import annotations

import os
import shutil

COMPILERS = ("g++", "clang++", "c++")


def check_compiler() -> None:
    """Check for a C++ compiler, without which torch.compile fails with a hundred lines of text.

    Raises:
        ValueError: there is no C++ compiler.
    """
    named = os.environ.get("CXX")
    if not any(shutil.which(compiler) for compiler in ([named] if named else COMPILERS)):
        raise ValueError(
            f"torch.compile needs a C++ compiler, and there is no {named or ', '.join(COMPILERS)}: install one (apt "
            "install g++), or leave compile and compiled off"
        )
