"""Which image sizes stay captured, with a stand-in for the graph."""

import threading
import warnings

import numpy as np
import pytest
import torch
from networks import random_pair

from apanet_core.engines.cuda_graphs import ATTEMPTS, CapturedSizes


class Captures:
    """Makes stand-ins for graphs, and notes what happens to them."""

    def __init__(self, error=None):
        self.made, self.closed, self.calls, self.error = [], [], [], error

    def __call__(self, size):
        if self.error is not None:
            raise self.error
        self.made.append(size)
        captures = self

        class Graph:
            def __call__(self, left, right):
                captures.calls.append(size)
                return 255 - left, 255 - right, 0.0

            def close(self):
                captures.closed.append(size)

        return Graph()


def eager(left, right):
    return left, right, 1.0


def test_captured_sizes_capture_once_and_evict_least_recently_used():
    captures = Captures()
    sizes = CapturedSizes(captures, eager, kept=2)
    for size in ((16, 16), (16, 32), (16, 16), (16, 48), (16, 16), (16, 32)):
        left, right = random_pair(*size)
        np.testing.assert_array_equal(sizes(left, right)[0], 255 - left)
    assert captures.made == [(16, 16), (16, 32), (16, 48), (16, 32)]
    assert captures.closed == [(16, 32), (16, 48)]
    sizes.close()
    assert sorted(captures.closed[2:]) == [(16, 16), (16, 32)]


def test_captured_sizes_failed_capture_warns_once_and_runs_eager():
    captures = Captures(RuntimeError("operation not permitted when stream is capturing\nmore"))
    sizes = CapturedSizes(captures, eager)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(ATTEMPTS - 1):  # another thread may be the reason, which is gone by the next pair
            assert sizes(*random_pair(16, 16))[2] == 1.0
    with pytest.warns(UserWarning, match="capture failed.*not permitted when stream is capturing$"):
        assert sizes(*random_pair(16, 16))[2] == 1.0
    captures.error = None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sizes(*random_pair(16, 32))[2] == 1.0
    assert captures.made == []


def test_captured_sizes_one_failed_capture_is_repeated():
    captures = Captures(RuntimeError("operation not permitted"))
    sizes = CapturedSizes(captures, eager)
    assert sizes(*random_pair(16, 16))[2] == 1.0
    captures.error = None
    assert sizes(*random_pair(16, 16))[2] == 0.0
    assert captures.made == [(16, 16)]


def test_captured_sizes_closed_is_refused():
    captures = Captures()
    sizes = CapturedSizes(captures, eager)
    sizes.close()
    with pytest.raises(ValueError, match="the derainer is closed"):
        sizes(*random_pair(16, 16))
    assert captures.made == []


def test_captured_sizes_out_of_memory_raises_error():
    sizes = CapturedSizes(Captures(torch.OutOfMemoryError("out of memory")), eager)
    with pytest.raises(torch.OutOfMemoryError):
        sizes(*random_pair(16, 16))


def test_captured_sizes_give_up_other_sizes_for_lack_of_memory():
    captures = Captures()
    sizes = CapturedSizes(captures, eager)
    sizes(*random_pair(16, 16))

    class FullError(RuntimeError):
        """As torch raises it: what ends the capture hides the lack of memory."""

        __context__ = torch.OutOfMemoryError("CUDA out of memory")

    captures.error = FullError("capture ended")
    with pytest.raises(RuntimeError, match="capture ended"):
        sizes(*random_pair(16, 32))
    assert captures.closed == [(16, 16)]
    captures.error = None
    assert sizes(*random_pair(16, 32))[2] == 0.0  # no reason to run eagerly from now on
    assert captures.made == [(16, 16), (16, 32)]


def test_captured_sizes_serialise_threads():
    inside, most, lock = [0], [0], threading.Lock()

    class Graph:
        def __init__(self, size):
            self.watch()

        def watch(self):
            with lock:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            threading.Event().wait(0.01)
            with lock:
                inside[0] -= 1

        def __call__(self, left, right):
            self.watch()
            return left, right, 0.0

        def close(self):
            pass

    sizes = CapturedSizes(Graph, eager)
    threads = [threading.Thread(target=sizes, args=random_pair(16, 16 * (1 + number % 3))) for number in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == 1
