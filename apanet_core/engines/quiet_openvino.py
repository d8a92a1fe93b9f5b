"""OpenVINO without its telemetry."""

from __future__ import annotations

import sys
from types import ModuleType


def import_openvino() -> ModuleType:
    """Import OpenVINO so that it sends nothing.

    By default `import openvino` forks a process that reports to an analytics server. A robot's node must neither open
    that connection nor fork in a process with the middleware's threads. OpenVINO has a substitute for its telemetry
    package, and uses it here. If the program has imported openvino before, nothing changes.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None: importing it fails
    import openvino

    return openvino
