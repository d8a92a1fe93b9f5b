"""Decorators for a node's callbacks, so that nothing that goes wrong in one ends the process or passes in silence."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn

LOG_EVERY_S = 5.0
Transition = Callable[[Any, LifecycleState], TransitionCallbackReturn]


def fail_transition_on_error(transition: Transition) -> Transition:
    """Log what a transition raises, and fail it: rclpy itself would swallow the exception."""

    @functools.wraps(transition)
    def wrapped(node: Any, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(node, state)
        except Exception as error:  # noqa: BLE001 (nothing that goes wrong here may kill the process)
            node.get_logger().error(f"{transition.__name__} failed: {error}")
            return TransitionCallbackReturn.ERROR

    return wrapped


def refuse_impossible_transitions(node: Any) -> None:
    """Let a transition that the state does not allow be answered with no: up to Jazzy it ends the process in rclpy."""
    service = node._service_change_state
    change_state = service.callback

    def answer(request: Any, response: Any) -> Any:
        try:
            return change_state(request, response)
        except Exception as error:  # noqa: BLE001 (rclpy's RCLError is not public)
            node.get_logger().error(f"transition refused: {error}")
            response.success = False
            return response

    service.callback = answer


def report_exceptions(callback: Callable[..., None]) -> Callable[..., None]:
    """Hand what a callback raises to the node's `callback_failed`: in rclpy it would end the process."""

    @functools.wraps(callback)
    def wrapped(node: Any, *args: Any) -> None:
        try:
            callback(node, *args)
        except Exception as error:  # noqa: BLE001
            node.callback_failed(callback.__name__.strip("_"), error)

    return wrapped
