"""Options of the derainer that the commands share."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DerainerOptions:
    """Arguments of `StereoDerainer`.

    Args:
        model: a bundled preset, a .safetensors checkpoint, or auto (small on CUDA, else tiny).
        engine: auto, torch or openvino.
        device: auto, cpu, cuda or cuda:N.
        precision: auto, float32, float16 or bfloat16.
        max_disparity: caps parallax attention at this disparity in px; 0 keeps the cap of the checkpoint.
        tile: rows to derain at a time, where memory is short; 0 takes whole images.
        tile_overlap: rows that neighbouring tiles share and blend.
    """

    model: str = "auto"
    engine: str = "auto"
    device: str = "auto"
    precision: str = "auto"
    max_disparity: int = 0
    tile: int = 0
    tile_overlap: int = 32
