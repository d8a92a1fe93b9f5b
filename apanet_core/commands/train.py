"""apanet train"""

from __future__ import annotations

import os
import sys

from apanet_core.images.files import find_images
from apanet_core.training.config import TrainConfig


def run(config: TrainConfig) -> None:
    """Train a network as CONFIG (YAML) says; every value can be overridden, as in --steps 1000 --data.workers 2."""
    from apanet_core.training.loop import train

    if config.data.photos and os.environ.get("RANK", "0") == "0":
        count = sum(len(find_images(folder)) for folder in config.data.photos)
        print(f"{count} photographs below {', '.join(map(str, config.data.photos))}", file=sys.stderr)
    print(f"best weights: {train(config)}")
