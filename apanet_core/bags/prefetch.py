"""Run a generator ahead of its consumer in a thread, within a budget of bytes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator
from functools import partial
from typing import TypeVar

Item = TypeVar("Item")
BUDGET_BYTES = 64 * 2**20


def prefetch(
    items: Generator[Item, None, None], size: Callable[[Item], int], budget: int = BUDGET_BYTES
) -> Generator[Item, None, None]:
    """Yield the items of a generator that runs ahead in another thread.

    The generator starts, runs and ends in that thread; its exception is raised here. Leaving the loop ends it.

    Args:
        items: a generator that has not been started.
        size: bytes of an item.
        budget: bytes that may wait; an item larger than this waits alone.

    Yields:
        The items in their order.
    """
    change = threading.Condition()
    ready: deque[Item] = deque()
    held, done, wanted = 0, False, True
    failure: BaseException | None = None

    def free(size_of_next: int) -> bool:
        return not wanted or not ready or held + size_of_next <= budget

    def work() -> None:
        nonlocal held, done, failure
        try:
            for item in items:
                size_of_next = size(item)
                with change:
                    change.wait_for(partial(free, size_of_next))
                    if not wanted:
                        break
                    ready.append(item)
                    held += size_of_next
                    change.notify_all()
            items.close()
        except BaseException as error:  # noqa: BLE001 (raised again in the consumer's thread)
            failure = error
        with change:
            done = True
            change.notify_all()

    thread = threading.Thread(target=work, name="prefetch", daemon=True)
    thread.start()
    try:
        while True:
            with change:
                change.wait_for(lambda: ready or done)
                if not ready:
                    break
                item = ready.popleft()
                held -= size(item)
                change.notify_all()
            yield item
    finally:
        with change:
            wanted = False
            change.notify_all()
        thread.join()
    if failure is not None:
        raise failure
