"""Training and validation data sets from a config."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.utils.data import Dataset

from apanet_core.data.paired_folders import PairedFolders
from apanet_core.data.synthetic import SyntheticRain

if TYPE_CHECKING:
    from apanet_core.training.config import DataConfig

Sample = dict[str, torch.Tensor]
SAMPLES_PER_EPOCH = 1_000_000  # more than most runs see: rain and crops are never the same twice


def build_datasets(config: DataConfig, validation_pairs: int, seed: int) -> tuple[Dataset[Sample], Dataset[Sample]]:
    """Training and validation samples; no photograph and no pair is in both."""
    if config.pairs is not None:
        return (
            PairedFolders(config.pairs, "train", config.size, samples=SAMPLES_PER_EPOCH, seed=seed),
            PairedFolders(config.pairs, "validation", config.size, validation_pairs),
        )
    return (
        SyntheticRain(config.photos, config.size, SAMPLES_PER_EPOCH, seed, single_image=config.single_image),
        SyntheticRain(config.photos, config.size, validation_pairs, seed + 1, True, config.single_image),
    )
