"""Minimal substitute for message_filters, which PyPI does not have.

The node imports it only if message_filters is not installed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class SimpleFilter:
    """A source of messages that calls the registered callbacks."""

    def __init__(self) -> None:
        self.callbacks: dict[int, tuple[Callable[..., None], tuple[Any, ...]]] = {}

    def registerCallback(self, callback: Callable[..., None], *args: Any) -> int:  # noqa: N802 (message_filters' name)
        """Register `callback`, called with every output followed by `args`; return the connection number."""
        connection = len(self.callbacks)
        self.callbacks[connection] = (callback, args)
        return connection

    def signalMessage(self, *messages: Any) -> None:  # noqa: N802 (message_filters' name)
        """Pass an output to every registered callback."""
        for callback, args in self.callbacks.values():
            callback(*messages, *args)


class Subscriber(SimpleFilter):
    """A subscription as a filter; arguments as for `rclpy.node.Node.create_subscription`, without the callback."""

    def __init__(self, node: Any, message_type: type, topic: str, **kwargs: Any) -> None:
        super().__init__()
        self.node, self.topic = node, topic
        self.sub = node.create_subscription(message_type, topic, self.signalMessage, **kwargs)
