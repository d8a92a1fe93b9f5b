"""Count messages that were sent and never arrived."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def count_lost(
    callback: Callable[[Any], None], on_lost: Callable[[int], None], publishers: Callable[[], int]
) -> Callable[[Any, Mapping[str, Any]], None]:
    """Return a subscription callback that also finds gaps in the sequence numbers of each publisher.

    Args:
        callback: called with every message.
        on_lost: called with the number of messages that were sent between this message and the one before it. Never
            called if the middleware gives no sequence numbers.
        publishers: returns the number of publishers; asked where a MessageInfo does not name its publisher (up to
            ROS 2 Jazzy), since the numbers of several publishers cannot be told apart then.

    Returns:
        A callback that takes a message and its MessageInfo.
    """
    last: dict[bytes, int] = {}  # by publisher

    def counting(message: Any, info: Mapping[str, Any]) -> None:
        number = info.get("publication_sequence_number")  # None or missing: unknown
        publisher = (info.get("publisher_gid") or {}).get("data", b"")
        if number is not None and (publisher or publishers() == 1):
            if (missing := number - last.get(publisher, number - 1) - 1) > 0:
                on_lost(missing)
            last[publisher] = number
        callback(message)

    return counting
