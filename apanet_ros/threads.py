"""The node's threads beside the executor's: the worker takes the newest pair, the network's may hang."""

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
    """Runs `work` on one item at a time; while it is busy, a new item replaces the one that waits.

    So receiving never blocks, the queue never grows, and what comes out is never older than one item's work ago.

    Args:
        work: called in the worker's thread.
        on_error: called there with what `work` raised; the thread goes on.
    """

    def __init__(self, work: Callable[[Item], None], on_error: Callable[[Exception], None]) -> None:
        self._work, self._on_error = work, on_error
        self._wake = threading.Condition()
        self._next: Item | None = None
        self._running = True
        self._thread = threading.Thread(target=self._run, name="derain", daemon=True)
        self._thread.start()

    def put(self, item: Item) -> bool:
        """Offer an item; False when it pushed out one that waited."""
        with self._wake:
            free = self._next is None
            self._next = item
            self._wake.notify()
        return free

    def is_current(self) -> bool:
        """Whether the calling thread is this worker's and was not told to stop: what it made is still wanted."""
        return self._running and threading.current_thread() is self._thread

    def stop(self, timeout_s: float = 0.3) -> bool:
        """Drop what waits and end the thread after the item at hand; False when that took longer than `timeout_s`."""
        with self._wake:
            self._running = False
            self._next = None
            self._wake.notify()
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
            except Exception as error:  # noqa: BLE001 (the node must outlive whatever one frame brings)
                self._on_error(error)


class TimedThread:
    """Makes calls one after the other in one thread; who waits for one is told when it takes too long.

    A call cannot be ended from outside. One that hangs keeps the thread, and until it comes back everybody who waits or
    comes is turned away.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(1, name)
        self._at_hand: tuple[float, float] | None = None  # when the call under way began, and its limit in seconds

    def call(self, function: Callable[[], Any], limit_s: float, given_up: Callable[[], bool] = lambda: False) -> Any:
        """What `function` returns or raises.

        Args:
            function: called in the thread.
            limit_s: how long it may take.
            given_up: polled meanwhile; when true, this waits no longer.

        Returns:
            Its result.

        Raises:
            TimeoutError: this call, or one before it, has taken longer than its limit; or it was given up.
            RuntimeError: the thread was closed.
        """
        self._turn_away()
        future = self._pool.submit(self._timed, function, limit_s)
        try:
            while not wait([future], POLL_S).done:
                self._turn_away()
                if given_up():
                    raise TimeoutError("given up")
        except TimeoutError:
            future.cancel()
            raise
        return future.result()

    def overdue_s(self) -> float | None:
        """For how many seconds a call has been under way that is past its limit; None while all is well."""
        at_hand = self._at_hand
        took = 0.0 if at_hand is None else time.monotonic() - at_hand[0]
        return took if at_hand is not None and took > at_hand[1] else None

    def close(self, last: Callable[[], Any], wait_s: float) -> bool:
        """Make one last call when those before it are done; whether that was within `wait_s`."""
        done = wait([self._pool.submit(last)], wait_s).done
        self._pool.shutdown(wait=False)
        return bool(done)

    def _turn_away(self) -> None:
        seconds = self.overdue_s()
        if seconds is not None:
            raise TimeoutError(f"it has been at one pair for {seconds:.0f} s: restart the node unless it comes back")

    def _timed(self, function: Callable[[], Any], limit_s: float) -> Any:
        self._at_hand = time.monotonic(), limit_s
        try:
            return function()
        except Exception:
            raise
        except BaseException as error:  # SystemExit would end the thread of whoever waits
            raise RuntimeError(repr(error)) from error
        finally:
            self._at_hand = None


class TimedDerainer:
    """A derainer that lives in a thread: it is loaded, run and freed there.

    Args:
        make: loads it.
        limits: how many seconds a pair may take, and the first one of a size where the engine builds for every size.
        given_up: polled while it loads; when true, loading is waited for no longer.
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
            self.engine = self._thread.call(load, float("inf"), given_up).engine
        except BaseException:
            self.close()
            raise

    def warm_up(self, height: int, width: int) -> None:
        """As `StereoDerainer.warm_up`."""
        assert self._derainer is not None
        self._thread.call(partial(self._derainer.warm_up, height, width), float("inf"), self._given_up)

    def __call__(self, left: np.ndarray, right: np.ndarray) -> Views:
        """As `StereoDerainer`, within its time.

        Args:
            left: (H, W, 3) uint8 RGB.
            right: likewise.

        Returns:
            What the derainer returns.

        Raises:
            TimeoutError: it took longer, or is still at an earlier pair.
            RuntimeError: it was closed.
        """
        derainer = self._derainer
        if derainer is None:
            raise RuntimeError("the network was closed meanwhile")
        builds = bool(getattr(self.engine, "compiled", False)) or self.engine.name == "tensorrt"
        first = builds and left.shape not in self._answered
        clean = self._thread.call(partial(derainer, left, right), self._limits()[first])
        if builds:
            self._answered.add(left.shape)
        return clean

    def overdue_s(self) -> float | None:
        """For how many seconds it has been at a pair that should be done; None while all is well."""
        return self._thread.overdue_s()

    def close(self) -> bool:
        """Free it, when it hangs as soon as it comes back; whether it is done."""
        return self._thread.close(self._free, FREE_WITHIN_S)

    def _free(self) -> None:
        if self._derainer is not None:
            self._derainer.close()
            self._derainer = None
