"""The order of the samples: the same for an uninterrupted, a resumed and a distributed run."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch.utils.data import Sampler


class EpochSampler(Sampler[int]):
    """Shuffled numbers of samples, one permutation per epoch, starting at any sample of the run.

    Epoch e has the numbers from e `length` on, so no two samples of a run have the same crop or the same rain.

    Args:
        length: samples of the data set.
        first: number of the first sample to yield, counted over the run.
        total: samples of the run.
        seed: seed of the permutations.
        batch_size: samples of one process's batch.
        rank: index of this process; the processes take batches in turn, so that a step sees the same samples as one
            process with a batch of the total size.
        processes: number of processes.
    """

    def __init__(
        self, length: int, first: int, total: int, seed: int, batch_size: int = 1, rank: int = 0, processes: int = 1
    ) -> None:
        self.length, self.first, self.total, self.seed = length, first, total, seed
        self.batch_size, self.rank, self.processes = batch_size, rank, processes

    def __len__(self) -> int:
        return (self.total - self.first) // self.processes

    def __iter__(self) -> Iterator[int]:
        for number, index in enumerate(self._run(), self.first):
            if number // self.batch_size % self.processes == self.rank:
                yield index

    def _run(self) -> Iterator[int]:
        for epoch in range(self.first // self.length, math.ceil(self.total / self.length)):
            generator = torch.Generator().manual_seed(self.seed + epoch)
            order = torch.randperm(self.length, generator=generator).tolist()
            start = max(self.first - epoch * self.length, 0)
            yield from (epoch * self.length + index for index in order[start : self.total - epoch * self.length])
