"""Records of parameters whose values are numbers, or tensors with a value for each sample of a batch."""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from typing import Any, TypeAlias, TypeVar

import torch

Number: TypeAlias = Any  # a float, or a tensor (B,): the same record describes one weather and that of a batch
Record = TypeVar("Record", bound=Any)


def per_sample(record: Record, batch: int, device: torch.device) -> Record:
    """Return a dataclass with float32 tensors: tensors keep their values per sample, other values are repeated."""
    values = {}
    for field in fields(record):
        value = getattr(record, field.name)
        if not isinstance(value, torch.Tensor):
            value = torch.tensor(value, dtype=torch.float32, device=device)
            value = value.expand(batch, *value.shape)
        values[field.name] = value.float()
    return replace(record, **values)


def rows_of(record: Record, rows: torch.Tensor) -> Record:
    """Return a dataclass with the values of some samples; `rows` is (N,) int64."""
    return replace(record, **{f.name: getattr(record, f.name).index_select(0, rows) for f in fields(record)})


def numbers_of(record: Any) -> dict[str, Any]:
    """Return the values of a dataclass, and of those in it, as numbers and lists for JSON."""

    def plain(items: list[tuple[str, Any]]) -> dict[str, Any]:
        return {name: value.tolist() if isinstance(value, torch.Tensor) else value for name, value in items}

    return asdict(record, dict_factory=plain)


def numbered(counts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """List the parts of things: ``counts`` (N,) int64 of 2, 0 and 1 gives the things 0, 0, 2 and the parts 0, 1, 0."""
    thing = torch.repeat_interleave(counts)
    first = (counts.cumsum(0) - counts).index_select(0, thing)
    return thing, torch.arange(len(thing), device=counts.device) - first


def power(base: Number, exponent: float) -> Number:
    """Return ``base**exponent``; in double precision, since float32 is rounded otherwise in tensors below 32 values."""
    return (base.double() ** exponent).float() if isinstance(base, torch.Tensor) else base**exponent


def with_dims(values: torch.Tensor, dims: int) -> torch.Tensor:
    """Return (B,) values as (B, 1, ..., 1), with `dims` dimensions."""
    return values.reshape(-1, *(1,) * (dims - 1))
