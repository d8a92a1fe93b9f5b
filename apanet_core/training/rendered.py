"""Training batches that are rendered on the device of the network, without worker processes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import torch

from apanet_core.rain.photo_atlas import PhotoAtlas
from apanet_core.rain.samples import render_samples
from apanet_core.training.objectives import Batch

AT_ONCE = 64  # samples rendered together, or one batch


class RenderedBatches:
    """Batches of rendered pairs; a sample depends on its number and the seed only.

    Args:
        atlas: photographs, on the device of the network.
        size: (height, width) of a sample in px.
        batch_size: pairs of a batch.
        numbers: numbers of the samples, in the order of the run.
        seed: another seed gives other samples.
        single_image: share of samples whose left and right view are the same photograph.
    """

    def __init__(
        self,
        atlas: PhotoAtlas,
        size: tuple[int, int],
        batch_size: int,
        numbers: Iterable[int],
        seed: int,
        single_image: float,
    ) -> None:
        self._atlas, self._size, self._batch_size = atlas, size, batch_size
        self._numbers, self._seed, self._single_image = numbers, seed, single_image

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches on the device, with the entries that `render_samples` returns."""
        numbers = iter(self._numbers)
        while chunk := list(islice(numbers, self._batch_size * max(1, AT_ONCE // self._batch_size))):
            indices = torch.tensor(chunk, device=self._atlas.pixels.device)
            samples = render_samples(self._atlas, self._size, self._seed, indices, self._single_image)
            for first in range(0, len(chunk) - self._batch_size + 1, self._batch_size):
                yield {name: value[first : first + self._batch_size] for name, value in samples.items()}
