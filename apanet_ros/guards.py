"""Decorators for a node's callbacks, so that nothing that goes wrong in one ends the process or passes in silence."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn

LOG_EVERY_S = 5.0
Transition = Callable[[Any, LifecycleState], TransitionCallbackReturn]


def logged(transition: Transition) -> Transition:
    """Log what a transition raises, and fail it: rclpy itself would swallow the exception."""

    @functools.wraps(transition)
    def wrapped(node: Any, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(node, state)
        except Exception as error:  # noqa: BLE001 (nothing that goes wrong here may kill the process)
            node.get_logger().error(f"{transition.__name__} failed: {error}")
            return TransitionCallbackReturn.ERROR

    return wrapped


def guarded(callback: Callable[..., None]) -> Callable[..., None]:
    """Log what a callback raises: in rclpy it would end the process."""

    @functools.wraps(callback)
    def wrapped(node: Any, *args: Any) -> None:
        try:
            callback(node, *args)
        except Exception as error:  # noqa: BLE001
            node.get_logger().error(f"{callback.__name__} failed: {error}", throttle_duration_sec=LOG_EVERY_S)

    return wrapped
