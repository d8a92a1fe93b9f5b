"""The library's front door: a pair of images in, a pair of images out."""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from apanet_core.engines.choose import choose_model, make_engine
from apanet_core.engines.cuda_graphs import SIZES_KEPT
from apanet_core.engines.engine import CLOSED, memory_errors
from apanet_core.engines.memory import check_memory
from apanet_core.engines.tiling import derain_tiled
from apanet_core.images.channel_order import contiguous, is_stored_as_bgr, to_bgr_memory
from apanet_core.images.sizes import SMALLEST_SIDE_PX, check_pair, check_sizes
from apanet_core.model.checkpoint import load_model


class DerainedWithDisparity(NamedTuple):
    """`left`, `right`: (H, W, 3) uint8; `disparity_px` of the left view and `confidence` in [0, 1]: (H, W) float32."""

    left: np.ndarray
    right: np.ndarray
    disparity_px: np.ndarray
    confidence: np.ndarray


class StereoDerainer:
    """Removes rain from rectified stereo pairs.

    Example:
        >>> derainer = StereoDerainer("tiny")
        >>> clean_left, clean_right = derainer(left, right)

    Args:
        model: a bundled preset, the path of a .safetensors checkpoint, or "auto": `small` on CUDA, else `tiny`.
        engine: "auto", "torch" or "openvino".
        device: "auto", "cpu", "cuda", "cuda:N".
        precision: "auto", "float32", "float16" or "bfloat16".
        max_disparity: caps parallax attention at this disparity in px; None or 0 keeps the cap of the checkpoint.
        tile: derain in bands of this many rows, to save memory; None or 0 takes whole images.
        tile_overlap: rows that neighbouring bands share and blend.
        compiled: compile the torch engine, with CUDA graphs on CUDA.

    Attributes:
        model: preset or path of the loaded checkpoint.
        config: shape of the network.
        engine: what runs the network.

    Raises:
        ValueError: an unknown name; the message lists the valid ones.
        FileNotFoundError: no such checkpoint.
    """

    def __init__(
        self,
        model: str | Path = "auto",
        engine: str = "auto",
        device: str = "auto",
        precision: str = "auto",
        max_disparity: int | None = None,
        tile: int | None = None,
        tile_overlap: int = 32,
        compiled: bool = False,
    ) -> None:
        if tile_overlap < 0 or (tile or 0) < 0:
            raise ValueError(f"tile and tile_overlap must not be negative: got {tile} and {tile_overlap}")
        if tile and not (tile >= SMALLEST_SIDE_PX and tile_overlap <= tile // 2):
            raise ValueError(
                f"tile must be at least {SMALLEST_SIDE_PX} rows and tile_overlap at most half of it: "
                f"got {tile} and {tile_overlap}"
            )
        self.model = choose_model(engine, device) if model == "auto" else str(model)
        network = load_model(self.model, max_disparity)
        self.config = network.config
        self.engine = make_engine(network, engine, device, precision, compiled)
        self.tile, self.tile_overlap = tile, tile_overlap
        self._closed = False
        # keeps the sizes that fit: a CUDA graph has its memory already
        self._check_size = lru_cache(SIZES_KEPT)(partial(check_memory, self.config, self.engine))

    def __call__(self, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Derain one pair.

        Args:
            left: (H, W, 3) uint8 RGB, rectified; H and W from 16 up.
            right: (H, W, 3) uint8 RGB, of the same size.

        Returns:
            Derained left and right, as given; new arrays. Where both views are reversed views of BGR memory,
            `bgr[..., ::-1]`, so are the results: `left[..., ::-1]` is BGR again, without a copy.

        Raises:
            ValueError: the views differ in size, are too small, or are not RGB.
            TypeError: the views are not uint8.
            MemoryError: there is not enough memory for a pair of this size.
            FloatingPointError: the network computed no image: values that are not finite, or far beyond white.
        """
        self._check_open()
        check_pair(left, right)
        self._check_memory(*left.shape[:2])
        if self.tile and self.tile < left.shape[0]:
            whole = contiguous(left), contiguous(right)
            derained = derain_tiled(self.engine, whole, self.tile, self.tile_overlap)
        else:
            derained = self.engine(left, right)
        if is_stored_as_bgr(left) and is_stored_as_bgr(right):
            return to_bgr_memory(derained[0]), to_bgr_memory(derained[1])
        return derained

    def derain_tensors(self, left: torch.Tensor, right: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Derain pairs that are on the network's device, on the current stream; nothing waits for the device.

        Args:
            left: (B, 3, H, W) RGB, uint8 or float in [0, 1], rectified; H and W from 16 up.
            right: of the shape, dtype and device of `left`.

        Returns:
            Derained left and right, with the shape, dtype and device of the input; a pair for which the network
            computes no numbers comes back unchanged.

        Raises:
            ValueError: the engine is not torch, or the tensors do not fit each other or the engine.
            TypeError: an argument is not a tensor.
            MemoryError: there is not enough memory for pairs of this size.
        """
        from apanet_core.engines.torch_engine import TorchEngine

        self._check_open()
        if not isinstance(self.engine, TorchEngine):
            raise ValueError(f"tensors need the engine 'torch': this derainer runs on {self.engine.name!r}")
        for view in (left, right):
            if not isinstance(view, torch.Tensor):
                raise TypeError(f"left and right must be torch tensors: got {type(view).__name__}")
        fits = left.shape == right.shape and left.dtype == right.dtype and left.dim() == 4 and left.shape[1] == 3
        if not fits or not len(left) or min(left.shape[2:]) < SMALLEST_SIDE_PX:
            raise ValueError(
                f"left and right must both be (B, 3, H, W), B from 1 and H and W from {SMALLEST_SIDE_PX} up, of one "
                f"dtype: got {tuple(left.shape)} {left.dtype} and {tuple(right.shape)} {right.dtype}"
            )
        if left.dtype != torch.uint8 and not left.dtype.is_floating_point:
            raise ValueError(f"left and right must be uint8 or float: got {left.dtype}")
        for view in (left, right):
            if view.device != self.engine.memory:
                raise ValueError(f"left and right must be on {self.engine.memory}: got {view.device}")
        if left.device.type == "cpu":  # a card says when it is full; here the system may end the process
            batch, _, height, width = left.shape
            self._check_memory(height, width, batch)
        return self.engine.derain_tensors(left, right)

    def with_disparity(self, left: np.ndarray, right: np.ndarray) -> DerainedWithDisparity:
        """Derain one pair and return the disparity that its finest parallax attention implies.

        Presets without matching were not trained to match: docs/disparity.md has the errors. The confidence is 0 if one
        view is blank, because there is no match then.
        Without the parallax mask it may be negative. Not for several threads at once.

        Args:
            left: (H, W, 3) uint8 RGB, rectified; H and W from 16 up.
            right: (H, W, 3) uint8 RGB, of the same size.

        Returns:
            The pair, the disparity and its confidence.

        Raises:
            ValueError: the engine is not torch, it is compiled, or images are cut into bands.
        """
        from apanet_core.engines.torch_engine import TorchEngine
        from apanet_core.model.attention_disparity import AttentionDisparity
        from apanet_core.model.uint8 import as_batch, one_is_blank

        if not isinstance(self.engine, TorchEngine) or self.engine.compiled or self.tile:
            raise ValueError(
                "disparity is read off the attention of the torch engine: use engine 'torch', no tile, eager"
            )
        self._check_open()
        assert self.engine.network is not None
        check_pair(left, right)
        self._check_memory(*left.shape[:2])
        reader = AttentionDisparity(self.engine.network)
        try:
            derained = self.engine.eager(left, right)
            with memory_errors(f"the disparity of a pair of {left.shape[1]}x{left.shape[0]}"):
                disparity, confidence = reader.read(*left.shape[:2])
        finally:
            reader.close()
        if any(one_is_blank(*(as_batch(torch.tensor(contiguous(view))) for view in (left, right)))):
            confidence = torch.zeros_like(confidence)
        return DerainedWithDisparity(*derained, disparity.cpu().numpy(), confidence.cpu().numpy())

    def warm_up(self, height: int, width: int) -> None:
        """Prepare for pairs of this size, so that the first one is as fast as the rest."""
        self._check_open()
        check_sizes((height, width), (height, width))
        self._check_memory(height, width)
        self.engine.prepare(min(height, self.tile or height), width)

    def close(self) -> None:
        """Free the model's memory, the GPU's too."""
        self._closed = True
        self.engine.close()

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError(CLOSED)

    def _check_memory(self, height: int, width: int, batch: int | None = None) -> None:
        """Check a size, unless it is one of the last few; a `batch` of tensors is not cut into tiles."""
        rows = height if batch is not None else min(height, self.tile or height)
        self._check_size(rows, width, batch=batch)


class WarmDerainer:
    """A derainer for files: it prepares for each new image size first, so that equal inputs give equal results.

    OpenVINO otherwise switches to the model of a size while pairs come, and the two models differ by a grey level.

    Args:
        derainer: what derains.
    """

    def __init__(self, derainer: StereoDerainer) -> None:
        self._derainer = derainer
        self._size: tuple[int, ...] = ()

    def __call__(self, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Derain one pair, (H, W, 3) uint8 RGB each."""
        if left.shape[:2] != self._size:
            self._derainer.warm_up(*left.shape[:2])
            self._size = left.shape[:2]
        return self._derainer(left, right)

    def close(self) -> None:
        """Free the memory of the model."""
        self._derainer.close()
