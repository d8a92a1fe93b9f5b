"""Run the derain node with an engine that returns its input, so that only the node takes time."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from apanet_ros.derain_node import DerainNode
from apanet_ros.parameters import NodeParameters
from apanet_ros.process import run


class Identity:
    """Replaces StereoDerainer and returns the views unchanged."""

    model, name, device, precision = "none", "identity", "none", "none"

    def __init__(self) -> None:
        self.engine = self

    def __call__(self, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the views unchanged."""
        return left, right

    def close(self) -> None:
        """Do nothing: there is no memory to free."""


class IdentityNode(DerainNode):
    """The real node with `Identity`."""

    def make_derainer(self, p: NodeParameters) -> Any:
        """Return `Identity`; no model is loaded."""
        return Identity()


if __name__ == "__main__":
    sys.exit(run(IdentityNode))
