"""Who is on the node's topics and cannot talk to it."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import Any

from rclpy.duration import Infinite
from rclpy.qos import QoSCompatibility, QoSProfile, qos_check_compatible

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks

# What is dropped while the node runs must have none of rclpy's own event handlers: its events executor calls them once
# more after their endpoint is gone, which ends the process (ros2/rclpy issue 1644). `QosMonitor` reports more.
NO_PUBLISHER_EVENTS = PublisherEventCallbacks(use_default_callbacks=False)
NO_SUBSCRIPTION_EVENTS = SubscriptionEventCallbacks(use_default_callbacks=False)


class QosMonitor:
    """Says in the log who turns up on the node's topics and cannot talk to it.

    Args:
        node: whose graph to look at.
    """

    def __init__(self, node: Any) -> None:
        self._node = node
        self._known: list[str] = []

    def check(self, subscriptions: Iterable[Any], publishers: Iterable[Any]) -> list[str]:
        """Compare the node's endpoints with those that others have on the same topics, and log what is new.

        Args:
            subscriptions: the node's.
            publishers: the node's.

        Returns:
            A sentence for each pair of endpoints between which nothing is sent: the topic, what differs, what to do.
        """
        found = sorted({*self._incompatible_publishers(subscriptions), *self._incompatible_subscribers(publishers)})
        for sentence in found:
            if sentence not in self._known:
                self._node.get_logger().warning(sentence)
        self._known = found
        return found

    def _incompatible_publishers(self, subscriptions: Iterable[Any]) -> Iterator[str]:
        for ours in subscriptions:
            for theirs in self._node.get_publishers_info_by_topic(ours.topic_name):
                differ = _differences(theirs.qos_profile, ours.qos_profile)
                remedy = "set input_reliability to auto, or change the publisher"
                if advice := _advice(theirs, ours, differ, remedy, "the publisher"):
                    yield f"nothing comes on {ours.topic_name} from {_name(theirs)}: {advice}"

    def _incompatible_subscribers(self, publishers: Iterable[Any]) -> Iterator[str]:
        for ours in publishers:
            for theirs in self._node.get_subscriptions_info_by_topic(ours.topic_name):
                differ = _differences(ours.qos_profile, theirs.qos_profile)
                remedy = "change the subscriber, or qos_overrides of this node"
                if advice := _advice(theirs, ours, differ, remedy, "the subscriber"):
                    yield f"{_name(theirs)} hears nothing on {ours.topic_name}: {advice}"


def _differences(publisher: QoSProfile, subscription: QoSProfile) -> list[str]:
    """What keeps two endpoints from talking, in rclpy's words; empty when they can."""
    compatibility, reason = qos_check_compatible(_announced(publisher), _announced(subscription))
    if compatibility != QoSCompatibility.ERROR:
        return []
    return [part.removeprefix("ERROR: ") for part in reason.split(";") if part.startswith("ERROR: ")]


def _announced(profile: QoSProfile) -> QoSProfile:
    """The profile with its missing limits written as the graph has them: 0 and infinite are not one to rclpy."""
    profile = copy.copy(profile)
    for limit in ("deadline", "liveliness_lease_duration"):
        if getattr(profile, limit).nanoseconds == 0:
            setattr(profile, limit, Infinite)
    return profile


def _advice(theirs: Any, ours: Any, differ: list[str], for_reliability: str, other: str) -> str:
    """Say why two endpoints cannot talk.

    Args:
        theirs: what the graph knows of the other endpoint.
        ours: the node's.
        differ: from `_differences`.
        for_reliability: what to do when reliability alone differs: the node's parameters reach no other policy.
        other: what to change in all other cases.

    Returns:
        The reason and what to do about it; empty when they can talk.
    """
    package, *_ = ours.msg_type.__module__.split(".")
    expected = f"{package}/msg/{ours.msg_type.__name__}"
    if differ:
        hint = for_reliability if len(differ) == 1 and "reliable" in differ[0] else f"change {other}"
        return f"{', '.join(differ)}: {hint}"
    if theirs.topic_type != expected:
        return f"its type is {theirs.topic_type}, not {expected}: remap one of the two topics"
    return ""


def _name(endpoint: Any) -> str:
    return f"{endpoint.node_namespace.rstrip('/')}/{endpoint.node_name}"
