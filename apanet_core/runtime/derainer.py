"""The library's front door: a pair of images in, a pair of images out."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from apanet_core.model.checkpoint import load_model
from apanet_core.runtime.engines import make_engine

SMALLEST_SIDE_PX = 16


class StereoDerainer:
    """Removes rain from rectified stereo pairs.

    Example:
        >>> derainer = StereoDerainer("tiny")
        >>> clean_left, clean_right = derainer(left, right)

    Args:
        model: a bundled preset or the path of a .safetensors checkpoint.
        engine: "auto", "torch", "openvino" or "onnxruntime".
        device: "auto", "cpu", "cuda", "cuda:N".
        precision: "auto", "float32", "float16" or "bfloat16".

    Raises:
        ValueError: an unknown name; the message lists the valid ones.
        FileNotFoundError: no such checkpoint.
    """

    def __init__(
        self, model: str | Path = "tiny", engine: str = "auto", device: str = "auto", precision: str = "auto"
    ) -> None:
        network = load_model(model)
        self.config = network.config
        self.engine = make_engine(network, engine, device, precision)

    def __call__(self, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Derain one pair.

        Args:
            left: (H, W, 3) uint8 RGB, rectified; H and W from 16 up.
            right: as `left`, of the same size.

        Returns:
            Derained left and right, as given; new arrays.

        Raises:
            ValueError: the views differ in size, are too small, or are not RGB.
            TypeError: the views are not uint8.
        """
        check_pair(left, right)
        return self.engine(left, right)

    def warm_up(self, height: int, width: int) -> None:
        """Prepare for pairs of this size, so that the first one is as fast as the rest."""
        self.engine.prepare(height, width)

    def close(self) -> None:
        """Free the model's memory, the GPU's too."""
        self.engine.close()


def check_pair(left: np.ndarray, right: np.ndarray) -> None:
    """Raise unless both views are (H, W, 3) uint8 of one size from 16x16 up."""
    for name, view in (("left", left), ("right", right)):
        if view.dtype != np.uint8:
            raise TypeError(f"{name} must be uint8 in 0..255: got {view.dtype}; scale and convert it first")
        if view.ndim != 3 or view.shape[2] != 3:
            raise ValueError(f"{name} must be (H, W, 3) RGB: got shape {view.shape}")
    if left.shape != right.shape:
        raise ValueError(
            f"left and right must have one size: got {left.shape[1]}x{left.shape[0]} and "
            f"{right.shape[1]}x{right.shape[0]}; rectify both to the same size"
        )
    if min(left.shape[:2]) < SMALLEST_SIDE_PX:
        raise ValueError(f"images must be at least {SMALLEST_SIDE_PX} px each way: got {left.shape[1]}x{left.shape[0]}")
