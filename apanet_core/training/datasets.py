"""Build training and validation data sets from a config."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.utils.data import Dataset

from apanet_core.data.layouts import find_pairs, find_unpaired
from apanet_core.data.paired_folders import PairedFolders, UnpairedFolders, check_files
from apanet_core.data.synthetic import SyntheticRain
from apanet_core.rain.photo_atlas import PhotoAtlas
from apanet_core.rain.photos import read_photos

if TYPE_CHECKING:
    from apanet_core.training.config import DataConfig, DistillationConfig, TrainConfig

Sample = dict[str, torch.Tensor]
SAMPLES_PER_EPOCH = 1_000_000  # more than most runs use; rain and crops differ in each of them


class WithRealPairs(Dataset[Sample]):
    """Samples of `synthetic`, each with a real pair added as `real_left` and `real_right`.

    Args:
        synthetic: rainy and clean pairs.
        real: rainy pairs without clean partners; as many as in `synthetic`.
    """

    def __init__(self, synthetic: Dataset[Sample], real: Dataset[Sample]) -> None:
        self.synthetic, self.real = synthetic, real

    def __len__(self) -> int:
        return len(self.synthetic)  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> Sample:
        """Return the views of both samples, (3, H, W) uint8 RGB each."""
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: list[int]) -> list[Sample]:
        """Return several samples; rendered ones are rendered together."""
        together = getattr(self.synthetic, "__getitems__", None)
        samples = together(indices) if together else [self.synthetic[index] for index in indices]
        pairs = [self.real[index] for index in indices]
        return [
            sample | {"real_left": pair["rainy_left"], "real_right": pair["rainy_right"]}
            for sample, pair in zip(samples, pairs)
        ]


def training_set(
    config: DataConfig,
    distillation: DistillationConfig | None,
    size: tuple[int, int],
    seed: int,
    atlas: PhotoAtlas | None,
) -> Dataset[Sample]:
    """Build the training samples; seed and index determine a sample.

    Args:
        config: source of the samples.
        distillation: source of real pairs, if any.
        size: (height, width) of a sample in px.
        seed: seed of the samples.
        atlas: photographs to render on the CPU; None for paired folders.

    Returns:
        The data set.
    """
    samples: Dataset[Sample]
    if config.pairs is not None:
        samples = PairedFolders(config.pairs, "train", size, samples=SAMPLES_PER_EPOCH, seed=seed)
    else:
        assert atlas is not None
        samples = SyntheticRain(atlas, size, SAMPLES_PER_EPOCH, seed, config.single_image)
    if distillation is None:
        return samples
    return WithRealPairs(samples, UnpairedFolders(distillation.unpaired, size, SAMPLES_PER_EPOCH, seed))


def check_training_files(config: TrainConfig) -> None:
    """Raise now, not after hours, if a file of the training pairs is damaged or too small for the largest sample."""
    height, width = (max(phase.size[axis] for phase in config.all_phases) for axis in (0, 1))
    if config.data.pairs is not None:
        check_files(find_pairs(config.data.pairs), (height, width))
    if config.distillation is not None:
        check_files(find_unpaired(config.distillation.unpaired), (height, width))


def validation_set(
    config: DataConfig, size: tuple[int, int], pairs: int, seed: int, device: torch.device | str
) -> Dataset[Sample]:
    """Return validation samples of `size` (height, width) px, none of which is used for training.

    Those over photographs are rendered on `device`.
    """
    if config.pairs is not None:
        return PairedFolders(config.pairs, "validation", size, pairs)
    atlas = PhotoAtlas(read_photos(config.photos, validation=True), device)
    return SyntheticRain(atlas, size, pairs, seed + 1, config.single_image)
