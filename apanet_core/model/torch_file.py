"""Weights in files of torch.save, which others publish."""

from __future__ import annotations

from pathlib import Path

import torch


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read a state dict; only tensors and plain containers are unpickled.

    Args:
        path: a file that holds tensors by name, or them under the key "net".

    Returns:
        Tensors on the CPU by name.

    Raises:
        FileNotFoundError: no such file.
        ValueError: damaged, or it holds something else.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}")
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged or hostile file provokes
        raise ValueError(
            f"{path} is not a torch checkpoint of tensors and plain containers: it is damaged, or holds other objects, "
            "which are not unpickled because that could run code"
        ) from error
    tensors = saved.get("net", saved) if isinstance(saved, dict) else saved
    by_name = isinstance(tensors, dict) and all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in tensors.items()
    )
    if not by_name:
        raise ValueError(f"{path} holds no state dict: expected names with tensors, or them under the key 'net'")
    return dict(tensors)
