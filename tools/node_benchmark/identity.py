"""The derain node with an engine that does nothing: all that is left is the node."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from apanet_ros.derain_node import DerainNode
from apanet_ros.parameters import NodeParameters
from apanet_ros.process import run


class Identity:
    """Stands in for a StereoDerainer: hands the views back."""

    name, device, precision = "identity", "none", "none"

    def __init__(self) -> None:
        self.engine = self

    def __call__(self, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The views themselves."""
        return left, right

    def close(self) -> None:
        """Nothing to free."""


class IdentityNode(DerainNode):
    """The real node around it."""

    def make_derainer(self, p: NodeParameters) -> Any:
        """Nothing to load."""
        return Identity()


if __name__ == "__main__":
    sys.exit(run(IdentityNode))
