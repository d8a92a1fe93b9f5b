"""OpenVINO without its telemetry."""

from __future__ import annotations

import sys
from types import ModuleType


def import_openvino() -> ModuleType:
    """Import OpenVINO so that it sends nothing.

    By default `import openvino` forks a process that reports to an analytics server. A robot's node opens no
    connection, and does not fork beside the middleware's threads. OpenVINO has a stand-in for where its telemetry
    package is not installed, and takes it here. Where the program has imported openvino before, it stays as it is.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None: importing it fails
    import openvino

    return openvino
