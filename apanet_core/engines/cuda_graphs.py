"""CUDA graphs of the network: one launch a pair instead of a thousand, for the image sizes that come most."""

from __future__ import annotations

import math
import threading
import warnings
import weakref
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch

from apanet_core.engines.engine import CLOSED, is_out_of_memory
from apanet_core.images.channel_order import in_one_order, is_stored_as_bgr

SIZES_KEPT = 4
HEADER_BYTES = 4  # before the views: whether they are BGR on the way in, the mean change as float32 on the way out
WARM_UP_CALLS = 2  # in which libraries choose their kernels and allocate
ATTEMPTS = 3  # of a capture: another thread that waits for the whole device makes one fail
STREAMS = 32  # that torch has for a device, and hands out in turn
Result = tuple[np.ndarray, np.ndarray, float]  # left, right, mean change
# One capture at a time in a process: it changes the state of the generator and of the allocator (pytorch issue 137844),
# and no memory may be given back during one.
_capturing = threading.Lock()
# Streams of graphs that are closed, by device. cuBLAS keeps a workspace for each stream that it saw, and two graphs on
# one stream would share it: closing one of them would free that of the other (pytorch issue 193402).
_free_streams: defaultdict[torch.device, list[Any]] = defaultdict(list)
_taken_streams: set[int] = set()  # ever, by a graph; they come back in `_free_streams` only
# Graphs whose capture failed. torch's allocator may go on comparing new graphs with their addresses.
_failed_graphs: list[Any] = []


def free_unused_memory() -> None:
    """Give memory of the card back that torch keeps for later; waits for a capture in another thread."""
    with _capturing:
        torch.cuda.empty_cache()


class CapturedPair(Protocol):
    """The network captured for one image size."""

    def __call__(self, left: np.ndarray, right: np.ndarray) -> Result:
        """Derain (H, W, 3) uint8 RGB views of that size; return new arrays."""

    def close(self) -> None:
        """Free the memory."""


class CapturedSizes:
    """Runs a captured network for each image size, and keeps those that were used last.

    Args:
        capture: captures the network for a (height, width).
        eager: runs the network without a capture, where a capture has failed.
        kept: sizes to keep.
    """

    def __init__(
        self,
        capture: Callable[[tuple[int, int]], CapturedPair],
        eager: Callable[[np.ndarray, np.ndarray], Result],
        kept: int = SIZES_KEPT,
    ) -> None:
        self._capture, self._eager, self._kept = capture, eager, kept
        self._sizes: OrderedDict[tuple[int, int], CapturedPair] = OrderedDict()
        self._attempts_left = ATTEMPTS
        self._closed = False
        self._running = threading.Lock()  # the buffers of a size hold one pair

    def __call__(self, left: np.ndarray, right: np.ndarray) -> Result:
        """Derain one pair, (H, W, 3) uint8 RGB each; raise ValueError after `close`."""
        with self._running:
            if self._closed:
                raise ValueError(CLOSED)
            captured = self._of_size((left.shape[0], left.shape[1]))
            return self._eager(left, right) if captured is None else captured(left, right)

    def close(self) -> None:
        """Free the memory of all sizes."""
        with self._running, _capturing:
            self._closed = True
            self._keep_at_most(0)

    def _of_size(self, size: tuple[int, int]) -> CapturedPair | None:
        """Return the capture of a size, made now if need be; None where a capture has failed."""
        if size in self._sizes:
            self._sizes.move_to_end(size)
            return self._sizes[size]
        if not self._attempts_left:
            return None
        with _capturing:
            self._keep_at_most(self._kept - 1)
            captured = self._captured(size)
            if captured is not None:
                self._sizes[size], self._attempts_left = captured, ATTEMPTS
            return captured

    def _captured(self, size: tuple[int, int]) -> CapturedPair | None:
        """Capture a size, if need be in the memory of the others."""
        try:
            return self._capture(size)
        except RuntimeError as error:
            full = is_out_of_memory(error)
            if full and not self._sizes:
                raise
            reason = str(error).partition("\n")[0]
        if full:  # outside of `except`, where the error would keep the tensors of the failed capture
            self._keep_at_most(0)
            return self._captured(size)
        self._attempts_left -= 1
        if not self._attempts_left:
            warnings.warn(f"CUDA graph capture failed, the network runs without it: {reason}", stacklevel=2)
        return None

    def _keep_at_most(self, count: int) -> None:
        while len(self._sizes) > count:
            self._sizes.popitem(last=False)[1].close()


class CUDAGraph:
    """The network on a CUDA device, captured for one image size with its copies from and to pinned memory.

    Args:
        run: a `Uint8Derainer` on the device.
        size: (height, width) in px.
        device: CUDA device that holds the network.
    """

    def __init__(self, run: Callable[..., Any], size: tuple[int, int], device: torch.device) -> None:
        self._shape, self._device = (2, *size, 3), device
        pinned: dict[str, Any] = {"dtype": torch.uint8, "device": "cpu", "pin_memory": True}
        values = math.prod(self._shape)
        self._rainy = torch.empty(HEADER_BYTES + values, **pinned)
        self._result = torch.empty(HEADER_BYTES + values, **pinned)
        with torch.cuda.device(device):
            self._stream, self._graph = _take_stream(device), torch.cuda.CUDAGraph()
            # runs at `close`, or when this object is deleted: resets the graph, then frees its stream
            self._free_graph = weakref.finalize(self, _free_graph, self._graph, self._stream, device)
            self._free_graph.atexit = False
            try:
                self._record(run)
            except RuntimeError:
                _failed_graphs.append(self._graph)
                raise

    def _record(self, run: Callable[..., Any]) -> None:
        """Run the network a few times, then capture it; to be called with the device set."""
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):  # which a failed capture would leave set
            # kept, because the graph writes there at every replay
            self._sent = torch.empty(self._rainy.shape, dtype=torch.uint8, device=self._device)
            for _ in range(WARM_UP_CALLS):
                self._step(run)
            self._stream.synchronize()
            # "thread_local": other threads may use the card during the capture
            with torch.cuda.graph(self._graph, stream=self._stream, capture_error_mode="thread_local"):
                self._step(run)

    def _step(self, run: Callable[..., Any]) -> None:
        """Queue one copy to the device, the network, and one copy back: the change, then both views."""
        self._sent.copy_(self._rainy, non_blocking=True)
        is_bgr, views = self._sent[0].bool(), self._sent[HEADER_BYTES:].view(self._shape)
        left, right, change = run(*torch.where(is_bgr, views.flip(-1), views))
        clean = torch.stack([left, right])
        clean = torch.where(is_bgr, clean.flip(-1), clean)
        parts = [change.float().reshape(1).view(torch.uint8), clean.flatten()]
        self._result.copy_(torch.cat(parts), non_blocking=True)

    @torch.inference_mode()
    def __call__(self, left: np.ndarray, right: np.ndarray) -> Result:
        """Derain (H, W, 3) uint8 RGB views of that size; return new arrays that share their memory.

        If both are reversed views of BGR memory, so are the results: the device swaps the channels.
        """
        is_bgr = is_stored_as_bgr(left) and is_stored_as_bgr(right)
        rainy = self._rainy.numpy()
        rainy[0] = is_bgr
        np.stack(in_one_order(left, right), out=rainy[HEADER_BYTES:].reshape(self._shape))
        with torch.cuda.device(self._device), torch.cuda.stream(self._stream):
            self._graph.replay()
        self._stream.synchronize()
        result = self._result.numpy().copy()
        clean = result[HEADER_BYTES:].reshape(self._shape)
        clean_left, clean_right = clean[..., ::-1] if is_bgr else clean
        return clean_left, clean_right, float(result[:HEADER_BYTES].view(np.float32)[0])

    def close(self) -> None:
        """Free the memory."""
        del self._sent
        self._free_graph()
        torch.cuda.empty_cache()


def _take_stream(device: torch.device) -> Any:
    """Return a stream that no other graph has; call it under `_capturing`, with the device set."""
    if _free_streams[device]:
        stream = _free_streams[device].pop()
    else:
        new = (torch.cuda.Stream() for _ in range(STREAMS))  # type: ignore[no-untyped-call]
        stream = next((stream for stream in new if stream.cuda_stream not in _taken_streams), None)
    if stream is None:
        raise RuntimeError(f"all {STREAMS} streams of {device} have a graph: close derainers that are not in use")
    _taken_streams.add(stream.cuda_stream)
    return stream


def _free_graph(graph: Any, stream: Any, device: torch.device) -> None:
    graph.reset()
    _free_streams[device].append(stream)
