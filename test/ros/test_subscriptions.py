"""Tests of remapped topic names, without a ROS graph."""

from types import SimpleNamespace

import pytest

from apanet_ros.parameters import NodeParameters
from apanet_ros.subscriptions import StereoSubscriptions


@pytest.mark.parametrize(
    ("transport", "remapped", "expected"),
    [
        ("raw", "/cam/{}", "/cam/{}"),
        ("compressed", "/cam/{}", "/cam/{}/compressed"),
        ("compressed", "/cam/{}/compressed", "/cam/{}/compressed"),
    ],
)
def test_input_remapped_to_compressed_topic_is_not_suffixed(transport, remapped, expected):
    def resolve(name):
        return name if name.startswith("/") else remapped.format(name.partition("/")[0])

    node = SimpleNamespace(resolve_topic_name=resolve, count_publishers=lambda topic: 1)
    subscriptions = StereoSubscriptions(
        node, NodeParameters(image_transport=transport), lambda side, error: None, lambda side, lost: None
    )
    left, right = (expected.format(side) for side in ("left", "right"))
    assert subscriptions.describe() == f"{left} (1 publishers), {right} (1 publishers)"
