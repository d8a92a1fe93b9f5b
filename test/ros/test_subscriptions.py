"""Tests of remapped topic names, without a ROS graph."""

import inspect
from types import SimpleNamespace

import pytest

from apanet_ros import subscriptions as module
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
        node, NodeParameters(image_transport=transport), str, lambda side, error: None, lambda side, lost: None
    )
    left, right = (expected.format(side) for side in ("left", "right"))
    assert subscriptions.describe() == f"{left} (1 publisher), {right} (1 publisher)"


@pytest.mark.parametrize("tells", [True, False])
def test_image_callback_takes_message_info_only_where_rclpy_gives_it(monkeypatch, tells):
    """Humble's rclpy calls with the message alone."""
    monkeypatch.setattr(module, "TELLS_MESSAGE_INFO", tells)
    node = SimpleNamespace(
        resolve_topic_name=lambda name: f"/{name}",
        count_publishers=lambda topic: 1,
        get_publishers_info_by_topic=lambda topic: [],
        get_logger=lambda: SimpleNamespace(info=lambda text: None),
        create_subscription=lambda kind, topic, callback, *args, **options: SimpleNamespace(callback=callback),
    )
    subscriptions = StereoSubscriptions(node, NodeParameters(), str, lambda side, error: None, lambda side, lost: None)
    assert subscriptions.update(NodeParameters(), wanted=True)
    taken = [len(inspect.signature(each.callback).parameters) for each in subscriptions.subscriptions()]
    assert taken == [1 + tells, 1 + tells, 1, 1]
