"""Find endpoints on the node's topics whose QoS or type does not match the node's."""

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

# No event handlers of rclpy: `QosMonitor` says more, and the executor looks at each of them for every message.
NO_PUBLISHER_EVENTS = PublisherEventCallbacks(use_default_callbacks=False)
NO_SUBSCRIPTION_EVENTS = SubscriptionEventCallbacks(use_default_callbacks=False)


class QosMonitor:
    """Logs new endpoints on the node's topics whose QoS or type does not match the node's.

    Args:
        node: the rclpy node, used to query the graph.
    """

    def __init__(self, node: Any) -> None:
        self._node = node
        self._known: list[str] = []

    def check(self, subscriptions: Iterable[Any], publishers: Iterable[Any]) -> list[str]:
        """Compare the node's endpoints with other endpoints on the same topics, and log new mismatches.

        Args:
            subscriptions: rclpy subscriptions of the node.
            publishers: rclpy publishers of the node.

        Returns:
            A sentence for each mismatch: the topic, the difference and a remedy.
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
                    yield f"no messages arrive on {ours.topic_name} from {_name(theirs)}: {advice}"

    def _incompatible_subscribers(self, publishers: Iterable[Any]) -> Iterator[str]:
        for ours in publishers:
            for theirs in self._node.get_subscriptions_info_by_topic(ours.topic_name):
                differ = _differences(ours.qos_profile, theirs.qos_profile)
                remedy = "change the subscriber, or qos_overrides of this node"
                if advice := _advice(theirs, ours, differ, remedy, "the subscriber"):
                    yield f"{_name(theirs)} receives no messages on {ours.topic_name}: {advice}"


def _differences(publisher: QoSProfile, subscription: QoSProfile) -> list[str]:
    """Return the QoS policies that do not match, in rclpy's words; empty if the endpoints are compatible."""
    compatibility, reason = qos_check_compatible(_announced(publisher), _announced(subscription))
    if compatibility != QoSCompatibility.ERROR:
        return []
    return [part.removeprefix("ERROR: ") for part in reason.split(";") if part.startswith("ERROR: ")]


def _announced(profile: QoSProfile) -> QoSProfile:
    """Return a copy whose unset limits are infinite, as the graph reports them; rclpy does not equate 0 with that."""
    profile = copy.copy(profile)
    for limit in ("deadline", "liveliness_lease_duration"):
        if getattr(profile, limit).nanoseconds == 0:
            setattr(profile, limit, Infinite)
    return profile


def _advice(theirs: Any, ours: Any, differ: list[str], for_reliability: str, other: str) -> str:
    """Describe why two endpoints do not match.

    Args:
        theirs: TopicEndpointInfo of the other endpoint.
        ours: publisher or subscription of the node.
        differ: QoS policies that do not match, from `_differences`.
        for_reliability: remedy if only reliability differs, the one policy that the node's parameters set.
        other: the endpoint to change in all other cases.

    Returns:
        The reason and a remedy; empty if the endpoints match.
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
