"""The network in a thread of its own, for callers that must not wait for ever."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from apanet_core import StereoDerainer

POLL_S = 0.05
FREE_WITHIN_S = 0.3
Views = tuple[np.ndarray, np.ndarray]


class TimedCallThread:
    """Makes calls one after the other in one thread; who waits for one is told when it takes too long.

    A call cannot be ended from outside. One that hangs keeps this thread, and until it comes back everybody who waits
    or comes is turned away. The thread is a daemon: the process can end without it.
    """

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any], float] | None] = queue.SimpleQueue()
        self._at_hand: tuple[float, float] | None = None  # when the call under way began, and its limit in seconds
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

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
            RuntimeError: the thread has ended.
        """
        self._turn_away()
        future: Future[Any] = Future()
        self._jobs.put((future, function, limit_s))
        while not wait([future], POLL_S).done:
            try:
                self._turn_away()
                if given_up():
                    raise TimeoutError("given up")
            except (TimeoutError, RuntimeError):
                future.cancel()
                raise
        return future.result()

    def overdue_s(self) -> float | None:
        """For how many seconds a call has been under way that is past its limit; None while all is well."""
        at_hand = self._at_hand
        took = 0.0 if at_hand is None else time.monotonic() - at_hand[0]
        return took if at_hand is not None and took > at_hand[1] else None

    def end(self, last: Callable[[], Any], wait_s: float) -> bool:
        """Make one last call when those before it are done; whether that was within `wait_s`."""
        self._jobs.put((Future(), last, float("inf")))
        self._jobs.put(None)
        self._thread.join(wait_s)
        return not self._thread.is_alive()

    def _turn_away(self) -> None:
        if not self._thread.is_alive():
            raise RuntimeError("the network was closed meanwhile")
        seconds = self.overdue_s()
        if seconds is not None:
            raise TimeoutError(f"it has been at one pair for {seconds:.0f} s: restart the node unless it comes back")

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, function, limit_s = job
            if not future.set_running_or_notify_cancel():
                continue
            self._at_hand = time.monotonic(), limit_s
            try:
                result, error = function(), None
            except BaseException as raised:  # noqa: BLE001 (SystemExit too: the thread must outlive whatever comes)
                result, error = None, raised if isinstance(raised, Exception) else RuntimeError(repr(raised))
            self._at_hand = None
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)
            del job, future, function, result, error  # the next one may be long in coming


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
        self._thread = TimedCallThread("network")
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
        """
        assert self._derainer is not None
        builds = bool(getattr(self.engine, "compiled", False)) or self.engine.name == "tensorrt"
        first = builds and left.shape not in self._answered
        clean = self._thread.call(partial(self._derainer, left, right), self._limits()[first])
        if builds:
            self._answered.add(left.shape)
        return clean

    def overdue_s(self) -> float | None:
        """For how many seconds it has been at a pair that should be done; None while all is well."""
        return self._thread.overdue_s()

    def close(self) -> bool:
        """Free it, when it hangs as soon as it comes back; whether it is done."""
        return self._thread.end(self._free, FREE_WITHIN_S)

    def _free(self) -> None:
        if self._derainer is not None:
            self._derainer.close()
