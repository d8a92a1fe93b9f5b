"""Stereo image deraining with APANet; knows nothing of ROS."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from apanet_core.derainer import StereoDerainer as StereoDerainer
    from apanet_core.model.checkpoint import load_model as load_model

__version__ = "0.1.0"
__all__ = ["StereoDerainer", "load_model"]


def __getattr__(name: str) -> Any:
    # torch is imported on first use, so that `apanet --help` and the ROS node's first log line come at once
    if name == "StereoDerainer":
        from apanet_core.derainer import StereoDerainer

        return StereoDerainer
    if name == "load_model":
        from apanet_core.model.checkpoint import load_model

        return load_model
    raise AttributeError(f"module 'apanet_core' has no attribute {name!r}")
