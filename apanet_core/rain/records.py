"""Records of parameters whose values are numbers, or tensors with a value for each sample of a batch."""

from __future__ import annotations

from dataclasses import fields, replace
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
    plain = {}
    for field in fields(record):
        value = getattr(record, field.name)
        if hasattr(value, "__dataclass_fields__"):
            value = numbers_of(value)
        plain[field.name] = value.tolist() if isinstance(value, torch.Tensor) else value
    return plain


def with_dims(values: torch.Tensor, dims: int) -> torch.Tensor:
    """Return (B,) values as (B, 1, ..., 1), with `dims` dimensions."""
    return values.reshape(-1, *(1,) * (dims - 1))
