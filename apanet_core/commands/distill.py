"""apanet distill"""

from __future__ import annotations

from apanet_core.commands import train
from apanet_core.training.config import TrainConfig


def run(config: TrainConfig) -> None:
    """Train a stereo student on synthetic and real rain, with a single-image teacher, as CONFIG (YAML) says."""
    if config.distillation is None:
        raise ValueError("distillation is not set: give distillation.teacher and distillation.unpaired")
    train.run(config)
