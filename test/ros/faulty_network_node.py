"""derain_node with a network that follows orders from a file; the first argument is the path of the file.

Orders: fine, raise, leave (SystemExit), hang (until the order changes), nan, flat (NaN made uint8), nothing,
one view, warn, load (loading hangs).
"""

import sys
import time
import warnings
from pathlib import Path

import numpy as np

from apanet_ros.derain_node import DerainNode
from apanet_ros.process import run


class StrangeNetwork:
    """A network that darkens images by 20 grey levels, unless ordered otherwise."""

    model = "stand-in"

    class engine:  # noqa: N801 (an attribute of the real one)
        name, device, precision = "strange", "CPU", "float32"

    def __init__(self, orders: Path):
        self._orders = orders
        while self._order() == "load":
            time.sleep(0.02)

    def _order(self):
        return self._orders.read_text() if self._orders.exists() else "fine"

    def __call__(self, left, right):
        order = self._order()
        if order == "raise":
            raise RuntimeError("out of memory on the device")
        if order == "warn":
            warnings.warn("the graph was\nnot captured", stacklevel=1)
        if order == "leave":
            raise SystemExit(3)
        while order == "hang" and self._order() == "hang":
            time.sleep(0.02)
        if order == "nan":
            return tuple(np.full(view.shape, np.nan, np.float32) for view in (left, right))
        if order == "flat":
            return np.zeros_like(left), np.zeros_like(right)
        if order == "nothing":
            return None
        clean = tuple(np.where(view >= 20, view - 20, 0).astype(np.uint8) for view in (left, right))
        return clean[:1] if order == "one view" else clean

    def warm_up(self, height, width):
        pass

    def close(self):
        pass


class StrangeNode(DerainNode):
    """A node with the faulty network."""

    def make_derainer(self, p):
        """Return the faulty network."""
        return StrangeNetwork(Path(sys.argv[1]))


if __name__ == "__main__":
    sys.exit(run(StrangeNode, sys.argv[2:]))
