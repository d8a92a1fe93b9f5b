"""Rainy training pairs that are rendered on demand: every index is another scene in other rain."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.utils.data import Dataset

from apanet_core.rain.photo_atlas import PhotoAtlas
from apanet_core.rain.samples import SINGLE, render_samples


class SyntheticRain(Dataset[dict[str, torch.Tensor]]):
    """Scenes made of photographs in rain; see `render_samples` for the entries of a sample.

    Args:
        atlas: photographs; samples are rendered on their device.
        size: (height, width) of a sample in px.
        length: number of samples.
        seed: seed of the samples; seed and index determine a sample.
        single_image: share of samples whose views are the same rainy photograph (zero disparity).
    """

    def __init__(
        self,
        atlas: PhotoAtlas,
        size: tuple[int, int],
        length: int,
        seed: int = 0,
        single_image: float = SINGLE,
    ) -> None:
        self.atlas, self.size, self.length = atlas, size, length
        self.seed, self.single_image = seed, single_image

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """Render one sample."""
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, torch.Tensor]]:
        """Render samples together, which is faster; a data loader calls this."""
        batch = render_samples(self.atlas, self.size, self.seed, torch.tensor(indices), self.single_image)
        return [{name: value[number] for name, value in batch.items()} for number in range(len(indices))]
