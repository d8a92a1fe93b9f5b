"""A thread that always works on the newest item."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")
WORKER_NAME = "derain"


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
        self._thread = threading.Thread(target=self._run, name=WORKER_NAME, daemon=True)
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
