"""Training and validation data sets from a config."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.utils.data import Dataset

from apanet_core.data.paired_folders import PairedFolders, UnpairedFolders
from apanet_core.data.synthetic import SyntheticRain

if TYPE_CHECKING:
    from apanet_core.training.config import DataConfig, DistillationConfig

Sample = dict[str, torch.Tensor]
SAMPLES_PER_EPOCH = 1_000_000  # more than most runs see: rain and crops are never the same twice


class WithRealPairs(Dataset[Sample]):
    """Samples of `synthetic`, each with a real pair beside it as `real_left`, `real_right`.

    Args:
        synthetic: rainy and clean pairs.
        real: rainy pairs without clean partners; of the same length.
    """

    def __init__(self, synthetic: Dataset[Sample], real: Dataset[Sample]) -> None:
        self.synthetic, self.real = synthetic, real

    def __len__(self) -> int:
        return len(self.synthetic)  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> Sample:
        """The views of both, (3, H, W) uint8 RGB."""
        real = self.real[index]
        return self.synthetic[index] | {"real_left": real["rainy_left"], "real_right": real["rainy_right"]}


def training_set(
    config: DataConfig, distillation: DistillationConfig | None, size: tuple[int, int], seed: int
) -> Dataset[Sample]:
    """Training samples of `size` (height, width) px; a sample is a function of seed and index."""
    samples: Dataset[Sample]
    if config.pairs is not None:
        samples = PairedFolders(config.pairs, "train", size, samples=SAMPLES_PER_EPOCH, seed=seed)
    else:
        samples = SyntheticRain(config.photos, size, SAMPLES_PER_EPOCH, seed, single_image=config.single_image)
    if distillation is None:
        return samples
    return WithRealPairs(samples, UnpairedFolders(distillation.unpaired, size, SAMPLES_PER_EPOCH, seed))


def validation_set(config: DataConfig, size: tuple[int, int], pairs: int, seed: int) -> Dataset[Sample]:
    """Validation samples of `size` (height, width) px; no photograph and no pair of them is trained on."""
    if config.pairs is not None:
        return PairedFolders(config.pairs, "validation", size, pairs)
    return SyntheticRain(config.photos, size, pairs, seed + 1, True, config.single_image)
