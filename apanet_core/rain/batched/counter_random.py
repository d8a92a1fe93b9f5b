"""Random numbers determined by seed, index, name and position: the same in any batch, order or process."""

from __future__ import annotations

import copy
import math
import zlib

import torch

Bound = float | torch.Tensor


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
        self._keys = _mix(_mix(indices & _MASK) + _mix(torch.tensor(seed & _MASK, device=self.device)))

    def of(self, rows: torch.Tensor) -> CounterRandom:
        """Return the random numbers of some samples of the batch; `rows` is (N,) int64."""
        chosen = copy.copy(self)
        chosen.batch, chosen._keys = len(rows), self._keys[rows]
        return chosen

    def uniform(self, name: str, *shape: int, low: Bound = 0.0, high: Bound = 1.0) -> torch.Tensor:
        """Return uniform numbers in [low, high), (B, *shape) float32; bounds are numbers or tensors to broadcast."""
        salted = _mix(self._keys ^ zlib.crc32(name.encode()))
        counter = torch.arange(math.prod(shape), device=self.device) * 0x9E3779B9
        bits = _mix(salted[:, None] + counter).reshape(self.batch, *shape)
        return low + (high - low) * ((bits >> 8).float() * 2.0**-24)

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

    def count(self, name: str, mean: torch.Tensor) -> torch.Tensor:
        """Return Poisson counts with `mean` (B,), by the normal approximation: (B,) int64, >= 0."""
        return (mean + mean.sqrt() * self.normal(name) + self.uniform(f"{name} rounding")).floor().clamp(min=0).long()


_MASK = 0xFFFFFFFF


def _mix(x: torch.Tensor) -> torch.Tensor:
    """Hash 32 bits held in int64 (lowbias32 of C. Wellons, hash-prospector)."""
    x = x & _MASK
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & _MASK
    x = ((x ^ (x >> 15)) * 0x846CA68B) & _MASK
    return x ^ (x >> 16)
