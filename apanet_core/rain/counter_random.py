"""Random numbers determined by seed, index, name and position: the same in any batch, order or process."""

from __future__ import annotations

import copy
import math
import zlib

import torch

Bound = float | torch.Tensor
LARGE_MEAN = 12  # of Poisson counts


class CounterRandom:
    """Independent random tensors, one row per sample.

    Two calls with the same name and shape return the same numbers, so every quantity needs another name.

    Args:
        seed: seed of the whole set.
        indices: (B,) int64, numbers of the samples; results are on its device.
    """

    def __init__(self, seed: int, indices: torch.Tensor) -> None:
        self.device = indices.device
        self.batch = indices.shape[0]
        self._keys = _mix(_mix(_wrap(indices)) + _wrap(torch.tensor(seed, device=self.device)))

    def of(self, rows: torch.Tensor) -> CounterRandom:
        """Return the random numbers of some samples of the batch; `rows` is (N,) int64."""
        chosen = copy.copy(self)
        chosen.batch, chosen._keys = len(rows), self._keys[rows]
        return chosen

    def uniform(self, name: str, *shape: int, low: Bound = 0.0, high: Bound = 1.0) -> torch.Tensor:
        """Return uniform numbers in [low, high), (B, *shape) float32; bounds are numbers or tensors to broadcast."""
        counter = torch.arange(math.prod(shape), device=self.device, dtype=torch.int32) * _STEP
        bits = _mix(self._salted(name)[:, None] + counter)
        return low + (high - low) * _unit(bits).reshape(self.batch, *shape)

    def _salted(self, name: str) -> torch.Tensor:
        return _mix(self._keys ^ _signed(zlib.crc32(name.encode())))

    def at(
        self, name: str, rows: torch.Tensor, numbers: torch.Tensor, low: float = 0.0, high: float = 1.0
    ) -> torch.Tensor:
        """Return ``uniform(name, n)[rows, numbers]``, (N,), for any n above the `numbers` (N,) int64."""
        salted = self._salted(name).index_select(0, rows)
        return low + (high - low) * _unit(_mix(salted + numbers.int() * _STEP))

    def log_uniform(self, name: str, *shape: int, low: float, high: float) -> torch.Tensor:
        """Return numbers in [low, high) that are uniform in the logarithm: (B, *shape)."""
        return self.uniform(name, *shape, low=math.log(low), high=math.log(high)).exp()

    def normal(self, name: str, *shape: int) -> torch.Tensor:
        """Return standard normal numbers, (B, *shape): Box and Muller 1958."""
        radius = (-2 * (1 - self.uniform(f"{name} radius", *shape)).log()).sqrt()
        return radius * (2 * math.pi * self.uniform(f"{name} angle", *shape)).cos()

    def happens(self, name: str, share: Bound, *shape: int) -> torch.Tensor:
        """Return True in `share` of the cases: (B, *shape) bool."""
        return self.uniform(name, *shape) < share

    def integer(self, name: str, below: Bound, *shape: int) -> torch.Tensor:
        """Return integers from 0 to below - 1, (B, *shape) int64."""
        drawn = (self.uniform(name, *shape) * below).long()
        return torch.minimum(drawn, torch.as_tensor(below, device=self.device).long() - 1)

    def counts(self, name: str, mean: torch.Tensor) -> torch.Tensor:
        """Return Poisson counts with `mean` (B, ...), by the normal approximation from `LARGE_MEAN` on: int64."""
        shape = mean.shape[1:]
        drawn = self.uniform(name, *shape)
        number = torch.arange(3 * LARGE_MEAN, device=self.device)
        small = mean.clamp(min=1e-9, max=LARGE_MEAN)[..., None]
        below = (number * small.log() - small - torch.lgamma(number + 1.0)).exp().cumsum(-1)
        few = (drawn[..., None] > below).sum(-1)
        many = (mean + mean.sqrt() * self.normal(f"{name} spread", *shape) + drawn).floor().long()
        return torch.where(mean < LARGE_MEAN, few, many)


def _signed(bits: int) -> int:
    """Return 32 bits as the int32 that holds them."""
    return bits - (1 << 32) if bits >= 1 << 31 else bits


_STEP = _signed(0x9E3779B9)  # between the counters of a row
_FIRST, _SECOND = _signed(0x7FEB352D), _signed(0x846CA68B)


def _wrap(number: torch.Tensor) -> torch.Tensor:
    """Return the low 32 bits of int64 as int32."""
    return (((number + (1 << 31)) & 0xFFFFFFFF) - (1 << 31)).int()


def _unit(bits: torch.Tensor) -> torch.Tensor:
    """Convert 32 bits to float32 in [0, 1)."""
    return ((bits >> 8) & 0xFFFFFF).float() * 2.0**-24


def _mix(x: torch.Tensor) -> torch.Tensor:
    """Hash 32 bits held in int32, whose products wrap around (lowbias32 of C. Wellons, hash-prospector)."""
    x = (x ^ ((x >> 16) & 0xFFFF)) * _FIRST
    x = (x ^ ((x >> 15) & 0x1FFFF)) * _SECOND
    return x ^ ((x >> 16) & 0xFFFF)
