"""Training batches that are rendered on the device of the network, without worker processes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import torch

from apanet_core.rain.photo_atlas import PhotoAtlas
from apanet_core.rain.samples import render_samples
from apanet_core.training.objectives import Batch

TOGETHER = {"cpu": 16, "cuda": 128}  # samples rendered together, or one batch


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
        on_card = atlas.pixels.device.type == "cuda"
        self._stream = torch.cuda.Stream(atlas.pixels.device) if on_card else None  # type: ignore[no-untyped-call]
        if self._stream is not None:
            self._stream.wait_stream(torch.cuda.current_stream())  # which filled the atlas

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches on the device, with the entries that `render_samples` returns."""
        numbers = iter(self._numbers)
        together = TOGETHER[self._atlas.pixels.device.type]
        while chunk := list(islice(numbers, self._batch_size * max(1, together // self._batch_size))):
            samples = self._render(chunk)
            for first in range(0, len(chunk) - self._batch_size + 1, self._batch_size):
                yield {name: value[first : first + self._batch_size] for name, value in samples.items()}

    def _render(self, numbers: list[int]) -> Batch:
        """Render samples; on a card in a second stream, while it works on the steps that are queued."""
        if self._stream is None:
            return self._render_here(numbers)
        training = torch.cuda.current_stream()
        with torch.cuda.stream(self._stream):
            samples = self._render_here(numbers)
        training.wait_stream(self._stream)
        for value in samples.values():
            value.record_stream(training)
        return samples

    def _render_here(self, numbers: list[int]) -> Batch:
        indices = torch.tensor(numbers, device=self._atlas.pixels.device)
        return render_samples(self._atlas, self._size, self._seed, indices, self._single_image)
