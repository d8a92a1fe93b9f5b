"""The captured network: on the CPU with stand-ins for torch's CUDA calls, at the end on a CUDA device."""

import threading
from collections import defaultdict

import numpy as np
import pytest
import torch
from networks import random_pair

from apanet_core import StereoDerainer
from apanet_core.engines import cuda_graphs
from apanet_core.engines.cuda_graphs import CUDAGraph


class Stream:
    """Stands in for torch.cuda's streams and contexts: it notes which of them is set."""

    current = None
    made = 0

    def __init__(self, stream=None, **_):
        self.stream = stream
        self.cuda_stream = Stream.made % 3  # torch hands a few out in turn
        Stream.made += 1

    def wait_stream(self, other):
        pass

    def synchronize(self):
        pass

    def __enter__(self):
        self.before, Stream.current = Stream.current, self.stream

    def __exit__(self, *_):
        Stream.current = self.before


class Graph:
    """Stands in for torch's graph."""

    resets = 0

    def reset(self):
        self.resets += 1


class FailingGraph(Stream):
    """A capture that fails at its end, and leaves its stream set, as torch does."""

    def __exit__(self, *_):
        raise RuntimeError("capture failed")


@pytest.fixture
def without_card(monkeypatch):
    """CUDA calls of a captured pair, on the CPU; nothing is recorded."""
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *args, pin_memory=False, **options: empty(*args, **options))
    for name in ("Stream", "stream", "device"):
        monkeypatch.setattr(torch.cuda, name, Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: None)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(cuda_graphs, "_taken_streams", set())
    monkeypatch.setattr(cuda_graphs, "_failed_graphs", [])
    monkeypatch.setattr(cuda_graphs, "_free_streams", defaultdict(list))
    monkeypatch.setattr(torch.cuda, "graph", lambda graph, stream, **_: Stream(stream))


def replaying(run):
    """A captured pair of 7x5 px whose replay is a call."""
    captured = CUDAGraph(run, (5, 7), torch.device("cpu"))

    class Replay:
        def replay(self):
            captured._step(run)

    captured._graph = Replay()
    return captured


@pytest.mark.parametrize("stored_as_bgr", [(), ("left",), ("left", "right")])
def test_graph_swaps_channels_of_bgr_memory(without_card, stored_as_bgr):
    def run(left, right):
        return left * torch.tensor([1, 0, 0], dtype=torch.uint8), right // 2, torch.tensor(0.0)  # keeps red of the left

    left, right = random_pair(5, 7)
    given = {"left": left, "right": right}
    for side in stored_as_bgr:
        given[side] = given[side][..., ::-1].copy()[..., ::-1]
    captured = replaying(run)
    clean_left, clean_right, _ = captured(given["left"], given["right"])
    np.testing.assert_array_equal(clean_left, left * np.uint8([1, 0, 0]))
    np.testing.assert_array_equal(clean_right, right // 2)
    assert clean_left[..., ::-1].flags.c_contiguous == (len(stored_as_bgr) == 2)  # BGR for whoever gave BGR
    np.testing.assert_array_equal(captured(left, right)[0], clean_left)  # the order belongs to the pair


def test_graph_reads_no_value_while_it_is_captured(without_card):
    captured = CUDAGraph(lambda left, right: (left, right, torch.tensor(0.0)), (5, 7), torch.device("cpu"))
    for name in ("_rainy", "_sent", "_result"):
        setattr(captured, name, getattr(captured, name).to("meta"))  # a tensor without values
    captured._step(lambda left, right: (left, right, torch.tensor(0.0, device="meta")))


def test_graph_returns_views_and_change_in_one_copy(without_card, monkeypatch):
    def run(left, right):
        return 255 - left, right // 2, torch.tensor(0.25)

    captured = replaying(run)
    left, right = random_pair(5, 7)
    clean_left, clean_right, change = captured(left, right)
    np.testing.assert_array_equal(clean_left, 255 - left)
    np.testing.assert_array_equal(clean_right, right // 2)
    assert change == 0.25
    captured(right, left)
    np.testing.assert_array_equal(clean_left, 255 - left)  # handed out, so not written again


def test_graphs_never_share_a_stream(without_card):
    def capture():
        return CUDAGraph(lambda left, right: (left, right, torch.tensor(0.0)), (5, 7), torch.device("cpu"))

    graphs = [capture() for _ in range(3)]
    assert {graph._stream.cuda_stream for graph in graphs} == {0, 1, 2}
    freed = [graph._graph for graph in graphs]
    with pytest.raises(RuntimeError, match="close derainers that are not in use"):
        capture()
    stream = graphs[1]._stream
    graphs[1].close()
    graphs[1] = capture()
    assert graphs[1]._stream is stream
    del graphs[:]  # without `close`
    assert all(graph.resets == 1 for graph in freed)
    graphs = [capture() for _ in range(3)]
    assert {graph._stream.cuda_stream for graph in graphs} == {0, 1, 2}


def test_graph_keeps_what_its_replays_write(without_card, monkeypatch):
    written = []
    monkeypatch.setattr(
        torch.Tensor, "copy_", lambda tensor, *_, **__: written.append(tensor.untyped_storage().data_ptr())
    )
    captured = CUDAGraph(lambda left, right: (left, right, torch.tensor(0.0)), (5, 7), torch.device("cpu"))
    own = {tensor.untyped_storage().data_ptr() for tensor in vars(captured).values() if torch.is_tensor(tensor)}
    assert written
    assert set(written) <= own


def test_failed_capture_restores_stream_of_caller(without_card, monkeypatch):
    monkeypatch.setattr(torch.cuda, "graph", lambda graph, stream, **_: FailingGraph(stream))
    before = Stream.current
    with pytest.raises(RuntimeError, match="capture failed"):
        CUDAGraph(lambda left, right: (left, right, torch.tensor(0.0)), (5, 7), torch.device("cpu"))
    assert Stream.current is before


needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@needs_cuda
def test_cuda_graph_results_match_eager_and_are_not_overwritten():
    derainer = StereoDerainer("tiny", device="cuda")
    pairs = [random_pair(64, width) for width in (96, 128, 96, 96)]
    pairs[2] = tuple(view[..., ::-1] for view in pairs[2])  # BGR memory in the graph of an RGB pair
    kept = []
    for views in pairs:
        kept.append(derainer(*views))
        torch.cuda.empty_cache()  # and others take what a graph does not keep
        torch.full((1 << 22,), 255, dtype=torch.uint8, device="cuda")
    for views, result in zip(pairs, kept):
        for got, want in zip(result, derainer.engine.eager(*views)):
            assert np.abs(got.astype(int) - want).max() <= 1


@needs_cuda
def test_cuda_derainers_in_threads_match_eager_and_preserve_stream():
    derainers = [StereoDerainer("tiny", device="cuda") for _ in range(2)]
    views = random_pair(64, 96)
    want = derainers[0].engine.eager(*views)
    results, kept = [], []

    def work(derainer):
        own = torch.cuda.Stream()
        with torch.cuda.stream(own):
            results.extend(derainer(*views) for _ in range(5))
            kept.append(torch.cuda.current_stream() == own and torch.cuda.current_device() == 0)

    threads = [threading.Thread(target=work, args=(derainer,)) for derainer in derainers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert kept == [True, True]
    assert all(np.abs(result[0].astype(int) - want[0]).max() <= 1 for result in results)


@needs_cuda
def test_cuda_closed_and_dropped_derainers_leave_no_memory():
    left = []
    for close in (True, True, False, False, True):
        derainer = StereoDerainer("tiny", device="cuda")
        for width in range(64, 64 + 32 * 6, 32):  # more sizes than are kept
            derainer(*random_pair(64, width))
        if close:
            derainer.close()
        del derainer
        left.append(torch.cuda.memory_allocated())
    assert max(left) == left[0]  # what libraries keep for good
