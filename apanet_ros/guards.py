"""Decorators that catch and report the exceptions of a node's callbacks, so that the process keeps running."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn

LOG_EVERY_S = 5.0
Transition = Callable[[Any, LifecycleState], TransitionCallbackReturn]


def fail_transition_on_error(transition: Transition) -> Transition:
    """Log an exception of a lifecycle transition and fail the transition: rclpy would swallow the exception."""

    @functools.wraps(transition)
    def wrapped(node: Any, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(node, state)
        except Exception as error:  # noqa: BLE001 (an exception here must not end the process)
            node.get_logger().error(f"{transition.__name__} failed: {error}")
            return TransitionCallbackReturn.ERROR

    return wrapped


def refuse_impossible_transitions(node: Any) -> None:
    """Answer a transition that the state does not allow with failure: up to Jazzy, rclpy would end the process."""
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
    """Pass an exception of a callback to `callback_failed` of its object: in rclpy it would end the process."""

    @functools.wraps(callback)
    def wrapped(owner: Any, *args: Any) -> None:
        try:
            callback(owner, *args)
        except Exception as error:  # noqa: BLE001
            owner.callback_failed(callback.__name__.strip("_"), error)

    return wrapped
