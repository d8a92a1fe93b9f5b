"""The worker's thread, which processes the newest pair, and the network's thread, which runs inference."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

if TYPE_CHECKING:
    from apanet_core import StereoDerainer

POLL_S = 0.05
FREE_WITHIN_S = 0.3
Item = TypeVar("Item")
Views = tuple[np.ndarray, np.ndarray]


class LatestItemWorker(Generic[Item]):
    """Runs `work` on one item at a time; while it runs, a new item replaces the waiting one.

    Receiving never blocks, the queue never grows, and the latency is at most the work of two items.

    Args:
        work: called in the worker's thread with an item.
        on_error: called in the worker's thread with an exception of `work`; the thread continues.
        on_dropped: called with an item that a newer one replaces, or that still waits when the worker stops.
    """

    def __init__(
        self,
        work: Callable[[Item], None],
        on_error: Callable[[Exception], None],
        on_dropped: Callable[[Item], None],
    ) -> None:
        self._work, self._on_error, self._on_dropped = work, on_error, on_dropped
        self._wake = threading.Condition()
        self._next: Item | None = None
        self._running = True
        self._thread = threading.Thread(target=self._run, name="derain", daemon=True)
        self._thread.start()

    def put(self, item: Item) -> None:
        """Set the next item."""
        self._replace(item)

    def _replace(self, item: Item | None) -> None:
        with self._wake:
            waiting, self._next = self._next, item
            self._wake.notify()
        if waiting is not None:
            self._on_dropped(waiting)

    def is_current(self) -> bool:
        """Return whether the calling thread is this worker's and not stopped, so that its result is still wanted."""
        return self._running and threading.current_thread() is self._thread

    def stop(self, timeout_s: float = 0.3) -> bool:
        """Drop the waiting item and end the thread after the current one; return False after `timeout_s`."""
        self._running = False
        self._replace(None)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._next is not None or not self._running)
                if not self._running:
                    return
                item, self._next = self._next, None
            assert item is not None
            try:
                self._work(item)
            except Exception as error:  # noqa: BLE001 (no item may end the thread)
                self._on_error(error)


class TimedThread:
    """Runs calls one after the other in one thread, with a time limit for each.

    A running call cannot be interrupted. While one exceeds its limit, all waiting and new calls raise TimeoutError.

    Args:
        name: name of the thread.
    """

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(1, name)
        self._running_call: tuple[float, float] | None = None  # start of the running call and its limit, in s

    def call(self, function: Callable[[], Any], limit_s: float, given_up: Callable[[], bool] = lambda: False) -> Any:
        """Run `function` in the thread and wait for it; its exceptions are raised here.

        Args:
            function: the function to call.
            limit_s: time limit of the call in seconds.
            given_up: polled while waiting; True ends the wait.

        Returns:
            The result of `function`.

        Raises:
            TimeoutError: this call or an earlier one exceeds its limit, or `given_up` returned True.
            RuntimeError: the thread is closed.
        """
        self._raise_if_overdue()
        future = self._pool.submit(self._timed, function, limit_s)
        try:
            while not wait([future], POLL_S).done:
                self._raise_if_overdue()
                if given_up():
                    raise TimeoutError("the wait has ended, because the node stops")
        except TimeoutError:
            future.cancel()
            raise
        try:
            return future.result()
        finally:  # its error holds this frame: without the cycle, what the error holds is free at once
            del future

    def overdue_s(self) -> float | None:
        """Return the seconds that a call past its limit has been running; None if no call is overdue."""
        running = self._running_call
        took = 0.0 if running is None else time.monotonic() - running[0]
        return took if running is not None and took > running[1] else None

    def close(self, last: Callable[[], Any], wait_s: float) -> bool:
        """Run `last` after all earlier calls and close the thread; return whether it finished within `wait_s`."""
        done = wait([self._pool.submit(last)], wait_s).done
        self._pool.shutdown(wait=False)
        return bool(done)

    def _raise_if_overdue(self) -> None:
        seconds = self.overdue_s()
        if seconds is not None:
            raise TimeoutError(f"inference has taken {seconds:.0f} s: restart the node if it persists")

    def _timed(self, function: Callable[[], Any], limit_s: float) -> Any:
        self._running_call = time.monotonic(), limit_s
        try:
            return function()
        except Exception:
            raise
        except BaseException as error:  # SystemExit would end the waiting thread
            raise RuntimeError(repr(error)) from error
        finally:
            self._running_call = None


class TimedDerainer:
    """A derainer that is loaded, run and freed in a separate thread, with a time limit for each pair.

    Args:
        make: loads and returns the derainer.
        limits: returns the time limits in seconds for a pair, and for the first pair of each image size if the engine
            compiles for each size.
        given_up: polled while loading; True ends the wait.
    """

    def __init__(
        self,
        make: Callable[[], StereoDerainer],
        limits: Callable[[], tuple[float, float]],
        given_up: Callable[[], bool],
    ) -> None:
        self._thread = TimedThread("network")
        self._limits, self._given_up = limits, given_up
        self._derainer: StereoDerainer | None = None
        self._answered: set[tuple[int, ...]] = set()

        def load() -> StereoDerainer:
            self._derainer = make()
            return self._derainer

        try:
            loaded = self._thread.call(load, float("inf"), given_up)
            self.engine, self.model = loaded.engine, loaded.model
        except BaseException:
            self.close()
            raise

    def warm_up(self, height: int, width: int) -> None:
        """Prepare for views of this height and width in px, without a time limit."""
        assert self._derainer is not None
        self._thread.call(partial(self._derainer.warm_up, height, width), float("inf"), self._given_up)

    def __call__(self, left: np.ndarray, right: np.ndarray) -> Views:
        """Derain one pair.

        Args:
            left: left view, (H, W, 3) uint8 RGB.
            right: right view, (H, W, 3) uint8 RGB of the same size.

        Returns:
            The derained left and right view, (H, W, 3) uint8 RGB.

        Raises:
            TimeoutError: this pair exceeds its limit, or an earlier one still does.
            RuntimeError: the derainer is closed.
        """
        derainer = self._derainer
        if derainer is None:
            raise RuntimeError("the network is closed: the node was cleaned up")
        builds = bool(getattr(self.engine, "compiled", False))
        usual_limit_s, first_limit_s = self._limits()
        first = builds and left.shape not in self._answered
        clean = self._thread.call(partial(derainer, left, right), first_limit_s if first else usual_limit_s)
        if builds:
            self._answered.add(left.shape)
        return clean

    def overdue_s(self) -> float | None:
        """Return the seconds that a pair past its limit has taken; None if no pair is overdue."""
        return self._thread.overdue_s()

    def close(self) -> bool:
        """Free the derainer, after a hung inference has returned; return whether it is freed."""
        return self._thread.close(self._free, FREE_WITHIN_S)

    def _free(self) -> None:
        if self._derainer is not None:
            self._derainer.close()
            self._derainer = None
