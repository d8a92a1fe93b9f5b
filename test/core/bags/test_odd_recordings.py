"""Recordings after edits, conversions and crashes."""

import pytest
import yaml

pytest.importorskip("rosbags.rosbag2", reason="needs rosbags")
from make_bags import derain, pairs, read_bag, write_bag
from raw_mcap import unchunked

from apanet_core.bags.read import open_bag


def edit(bag, change):
    """Change metadata.yaml like a user or a converter."""
    content = yaml.safe_load((bag / "metadata.yaml").read_text())
    change(content["rosbag2_bagfile_information"])
    (bag / "metadata.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


def topics_of(info):
    return {entry["topic_metadata"]["name"]: entry for entry in info["topics_with_message_count"]}


def messages_per_topic(bag):
    counts = {}
    with open_bag(bag) as opened:
        for connection, _, _ in opened.messages():
            counts[connection.topic] = counts.get(connection.topic, 0) + 1
    return counts


def other_qos(topic):
    def change(info):
        for profile in topics_of(info)[topic]["topic_metadata"]["offered_qos_profiles"]:
            profile["reliability"] = "best_effort"

    return change


def left_out(topic):
    def change(info):
        info["topics_with_message_count"].remove(topics_of(info)[topic])

    return change


@pytest.mark.parametrize("plugin", ["MCAP", "SQLITE3"])
@pytest.mark.parametrize("difference", [other_qos, left_out])
def test_derain_bag_altered_metadata_loses_no_message(tmp_path, plugin, difference):
    bag = write_bag(tmp_path / "bag", pairs(4), plugin)
    before = messages_per_topic(bag)
    for topic in before:
        edit(bag, difference(topic))
    report = derain(bag, tmp_path / "out")
    assert (report.derained, report.failed) == (4, 0)
    assert messages_per_topic(bag) == messages_per_topic(tmp_path / "out") == before


def test_derain_bag_preserves_ros_distro(tmp_path):
    bag = write_bag(tmp_path / "bag", pairs(2))
    edit(bag, lambda info: info.update(ros_distro="jazzy"))
    derain(bag, tmp_path / "out")
    assert (
        yaml.safe_load((tmp_path / "out/metadata.yaml").read_text())["rosbag2_bagfile_information"]["ros_distro"]
        == "jazzy"
    )


@pytest.mark.parametrize("plugin", ["MCAP", "SQLITE3"])
def test_derain_bag_restarted_time_loses_no_pair(tmp_path, plugin):
    bag = write_bag(tmp_path / "bag", [*pairs(3), *pairs(3)], plugin)
    assert derain(bag, tmp_path / "out").derained == 6
    assert len(read_bag(tmp_path / "out")) == len(read_bag(bag))


def cut_off(bag):
    file = next(bag.glob("*.mcap"))
    file.write_bytes(file.read_bytes()[:-200])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut_off, "cut off, as when its recorder was killed; try `mcap recover`"),
        (
            lambda bag: (bag / "metadata.yaml").unlink(),
            "has no metadata.yaml: .* `ros2 bag reindex",
        ),
        (lambda bag: edit(bag, lambda i: i.update(storage_identifier="")), "storage_identifier in metadata.yaml is ''"),
        (lambda bag: edit(bag, lambda i: i.update(version=10)), "version in metadata.yaml is 10: expected 9 at most"),
    ],
)
def test_damaged_recording_error_names_cause_and_remedy(tmp_path, damage, message):
    bag = write_bag(tmp_path / "bag", pairs(4), "MCAP")
    damage(bag)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        derain(bag, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def unchunked_copy(bag, order, extra=()):
    """The messages of a recording as an MCAP file without chunks, in another order, with further channels."""
    with open_bag(bag) as opened:
        listed = list(opened.messages())
        connections = list(opened.reader.connections)
    channels = [(c.topic, c.msgtype, "ros2msg", c.msgdef.data, "cdr") for c in connections]
    numbers = {c.id: number for number, c in enumerate(connections, 1)}
    path = bag.parent / "unchunked.mcap"
    messages = [(numbers[c.id], log, data) for c, log, data in order(listed)]
    path.write_bytes(unchunked([*channels, *extra], messages))
    return path


def test_unchunked_mcap_is_read_in_order_and_refused_out_of_order(tmp_path):
    bag = write_bag(tmp_path / "bag", pairs(4), "MCAP")
    path = unchunked_copy(bag, lambda messages: messages)
    assert derain(path, tmp_path / "out").derained == 4
    path = unchunked_copy(bag, lambda messages: [messages[-1], *messages[:-1]])
    with pytest.raises(ValueError, match="not in the order of time.*mcap recover"):
        derain(path, tmp_path / "other")


def test_mcap_with_non_ros_channel_is_refused(tmp_path):
    bag = write_bag(tmp_path / "bag", pairs(2), "MCAP")
    path = unchunked_copy(bag, lambda messages: messages, [("/status", "Status", "jsonschema", "{}", "json")])
    with pytest.raises(ValueError, match="not ROS 2 messages.*mcap filter"):
        derain(path, tmp_path / "out")
