"""apanet train"""

from __future__ import annotations

from apanet_core.training.config import TrainConfig


def run(config: TrainConfig) -> None:
    """Train a network as CONFIG (YAML) says; every value can be overridden, as in --steps 1000 --data.workers 2."""
    from apanet_core.training.loop import train

    print(f"best weights: {train(config)}")
