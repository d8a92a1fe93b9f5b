import dataclasses
import sqlite3

import cv2
import numpy as np
import pytest
import yaml

pytest.importorskip("rosbags.rosbag2", reason="needs rosbags")
from make_bags import (
    LEFT,
    MS,
    RIGHT,
    SETTINGS,
    START,
    TYPES,
    Inverter,
    compressed,
    derain,
    image,
    images,
    pairs,
    read_bag,
    view,
    write_bag,
)
from rosbags.highlevel import AnyReader

from apanet_core.bags.derain_bag import derain_bags
from apanet_core.bags.plan import BagSettings
from apanet_core.commands.main import main


def unreadable():
    messages = list(pairs(2))
    for _, _, message in messages:
        if hasattr(message, "encoding"):
            message.encoding = "yuv999"
    return messages


def others(path, topics=(LEFT, RIGHT)):
    return [message for message in read_bag(path) if message[0] not in topics]


@pytest.mark.parametrize(
    ("plugin", "compression", "version"),
    [
        ("MCAP", None, 9),
        ("MCAP", "STORAGE", 9),
        ("SQLITE3", None, 8),
        ("SQLITE3", "MESSAGE", 9),
        ("SQLITE3", "FILE", 9),
    ],
)
def test_derain_bag_replaces_images_and_copies_other_messages(tmp_path, plugin, compression, version):
    bag = write_bag(tmp_path / "bag", pairs(7), plugin, compression, version)
    report = derain(bag, tmp_path / "out", dataclasses.replace(SETTINGS, segment_pairs=3))
    assert (report.derained, report.failed, report.unpaired) == (7, 0, (0, 0))
    rainy, clean = read_bag(bag), read_bag(tmp_path / "out")
    assert [m[:2] for m in clean] == [m[:2] for m in rainy]
    assert others(tmp_path / "out") == others(bag)
    for side, topic in enumerate((LEFT, RIGHT)):
        found, before = images(tmp_path / "out", topic), images(bag, topic)
        assert list(found) == [START + 100 * i * MS for i in range(7)]
        for i, (stamp, message) in enumerate(found.items()):
            assert (message.encoding, message.step, str(message.header)) == ("rgb8", 96, str(before[stamp].header))
            np.testing.assert_array_equal(message.data.reshape(24, 32, 3), 255 - view(2 * i + side))
    with AnyReader([bag]) as a, AnyReader([tmp_path / "out"]) as b:
        for x, y in zip(a.connections, b.connections):
            assert (x.topic, x.msgtype, x.msgdef, x.digest, x.msgcount, x.ext) == (
                *(y.topic, y.msgtype, y.msgdef, y.digest, y.msgcount, y.ext),
            )
        assert (a.duration, a.start_time, a.message_count) == (b.duration, b.start_time, b.message_count)
    suffixes = {p.suffix for p in (tmp_path / "out").iterdir()} - {".yaml"}
    assert suffixes == {p.suffix for p in bag.iterdir()} - {".yaml"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bag", "out"]


def test_derain_bag_keep_original_adds_derained_topics(tmp_path):
    bag = write_bag(tmp_path / "bag", pairs(3))
    derain(bag, tmp_path / "out", dataclasses.replace(SETTINGS, keep_original=True))
    added = {f"/cam/derained/{side}/{name}" for side in ("left", "right") for name in ("image_rect", "camera_info")}
    assert others(tmp_path / "out", added) == read_bag(bag)
    clean = images(tmp_path / "out", "/cam/derained/right/image_rect")
    np.testing.assert_array_equal(clean[START].data.reshape(24, 32, 3), 255 - view(1))
    infos = images(tmp_path / "out", "/cam/derained/right/camera_info")
    assert list(infos) == list(clean)


@pytest.mark.parametrize("suffix", [".png", ".jpeg"])
def test_derain_bag_compressed_images_stay_compressed(tmp_path, suffix):
    def make(seed, stamp):
        return compressed(seed, stamp, suffix)

    topics = [f"{topic}/compressed" for topic in (LEFT, RIGHT)]
    bag = write_bag(tmp_path / "bag", pairs(2, make, topics=topics))
    derain(bag, tmp_path / "out", BagSettings(*topics, jpeg_quality=100))
    for stamp, message in images(tmp_path / "out", topics[0]).items():
        before = images(bag, topics[0])[stamp]
        assert (message.format, str(message.header)) == (before.format, str(before.header))
        rainy, clean = (cv2.imdecode(m.data, cv2.IMREAD_COLOR) for m in (before, message))
        again = cv2.imencode(suffix, 255 - rainy, [cv2.IMWRITE_JPEG_QUALITY, 100])[1]
        np.testing.assert_array_equal(clean, cv2.imdecode(again, cv2.IMREAD_COLOR))


def test_derain_bag_copies_unpaired_and_broken_images_unchanged(tmp_path):
    messages = list(pairs(6))
    lonely = next(m for m in messages if m[0] == RIGHT and m[1] == START + 201 * MS)
    messages.remove(lonely)
    broken = [m[2] for m in messages if m[0] == LEFT]
    broken[4].data = broken[4].data[:100]
    bag = write_bag(tmp_path / "bag", messages)
    report = derain(bag, tmp_path / "out")
    assert (report.derained, report.failed, report.unpaired) == (4, 1, (1, 0))
    assert "data holds 100 bytes" in report.problem
    before, after = read_bag(bag), read_bag(tmp_path / "out")
    assert [m[:2] for m in after] == [m[:2] for m in before]
    same = [m[:2] for m, n in zip(before, after) if m == n and m[0] in (LEFT, RIGHT)]
    assert same == [(LEFT, START + 200 * MS), (LEFT, START + 400 * MS), (RIGHT, START + 401 * MS)]


@pytest.mark.parametrize("make", [image, compressed])
def test_derain_bag_cut_off_image_counts_as_failed(tmp_path, make):
    messages = list(pairs(3, make))
    damaged = [m[2] for m in messages if m[0] == RIGHT][1]
    damaged.data = damaged.data[: damaged.data.size // 2]
    report = derain(write_bag(tmp_path / "bag", messages), tmp_path / "out")
    assert (report.derained, report.failed) == (2, 1)


def test_derain_bag_pairs_nearest_stamps_within_tolerance(tmp_path):
    bag = write_bag(tmp_path / "bag", pairs(4, lag_ms=4))
    with pytest.raises(ValueError, match=r"share a stamp within 0.0 s: give a larger --tolerance-s"):
        derain(bag, tmp_path / "out")
    assert derain(bag, tmp_path / "out", dataclasses.replace(SETTINGS, tolerance_s=0.005)).derained == 4


def test_derain_bag_recording_played_twice_is_derained_twice(tmp_path):
    once = list(pairs(3))
    again = [(topic, log + 1000 * MS, message) for topic, log, message in once]
    report = derain(write_bag(tmp_path / "bag", once + again), tmp_path / "out")
    assert (report.derained, report.unpaired) == (6, (0, 0))


def test_derain_bag_pairs_repeated_stamps_by_log_time(tmp_path):
    once = list(pairs(3))
    again = [(topic, log + 1000 * MS, message) for topic, log, message in once]
    once.remove(next(m for m in once if m[0] == LEFT))
    report = derain(write_bag(tmp_path / "bag", once + again), tmp_path / "out")
    assert (report.derained, report.unpaired) == (5, (0, 1))


def test_derain_bag_duplicate_images_are_all_derained(tmp_path):
    messages = [(topic, log + late, message) for topic, log, message in pairs(2) for late in (0, 1)]
    report = derain(write_bag(tmp_path / "bag", messages), tmp_path / "out")
    assert (report.derained, report.unpaired) == (4, (0, 0))


@pytest.mark.parametrize("topics", [(LEFT,), (LEFT, RIGHT)])
def test_derain_bag_duplicate_message_loses_no_other_pair(tmp_path, topics):
    messages = list(pairs(6))
    twice = [m for m in messages if m[0] in topics and m[2].header.stamp.nanosec == 200 * MS]
    bag = write_bag(tmp_path / "bag", sorted(messages + twice, key=lambda m: m[1]))
    report = derain(bag, tmp_path / "out")
    expected = (6, 1) if len(topics) == 1 else (7, 0)  # both views twice are one pair more
    assert (report.derained, sum(report.unpaired)) == expected
    assert [m[:2] for m in read_bag(tmp_path / "out")] == [m[:2] for m in read_bag(bag)]


def test_derain_bag_humble_bag_without_type_definitions_is_derained(tmp_path):
    bag = write_bag(tmp_path / "bag", pairs(3), "SQLITE3", version=8)
    with sqlite3.connect(bag / "bag.db3") as database:
        for table in ("message_definitions", "schema", "metadata"):
            database.execute(f"DROP TABLE {table}")
        database.execute("ALTER TABLE topics DROP COLUMN type_description_hash")
    database.close()
    metadata = yaml.safe_load((bag / "metadata.yaml").read_text())
    metadata["rosbag2_bagfile_information"]["version"] = 5
    for topic in metadata["rosbag2_bagfile_information"]["topics_with_message_count"]:
        del topic["topic_metadata"]["type_description_hash"]
    (bag / "metadata.yaml").write_text(yaml.safe_dump(metadata))
    assert derain(bag, tmp_path / "out").derained == 3
    assert others(tmp_path / "out") == others(bag)
    assert "version: 8" in (tmp_path / "out/metadata.yaml").read_text()  # Humble cannot read 9


def test_derain_bags_failed_bag_does_not_stop_other_bags(tmp_path):
    bags = [write_bag(tmp_path / "bad", unreadable()), write_bag(tmp_path / "good", pairs(2))]
    outs = [tmp_path / "out" / bag.name for bag in bags]
    with pytest.raises(ValueError, match="not one of the 2 pairs of .*bad could be derained"):
        derain_bags(bags, outs, SETTINGS, Inverter, {"model": "inverter"})
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["good"]


def test_derain_bag_treats_file_and_folder_as_equal_input(tmp_path):
    bag = write_bag(tmp_path / "bag", pairs(2))
    file = next(bag.glob("*.mcap"))
    with pytest.raises(ValueError, match="every bag can be named once, by its folder or one of its files"):
        derain_bags([bag, file], [tmp_path / "a", tmp_path / "b"], SETTINGS, Inverter, {"model": "inverter"})
    derain(bag, tmp_path / "out")
    assert derain(file, tmp_path / "out").finished_before


def test_derain_bag_keep_original_with_derained_topic_is_refused(tmp_path):
    messages = list(pairs(2))
    node = [("/cam/derained/left/image_rect", log, m) for topic, log, m in messages if topic == LEFT]
    bag = write_bag(tmp_path / "bag", messages + node)
    with pytest.raises(ValueError, match="holds /cam/derained/left/image_rect already"):
        derain(bag, tmp_path / "out", dataclasses.replace(SETTINGS, keep_original=True))
    assert derain(bag, tmp_path / "out").derained == 2


def test_derain_bag_damaged_recording_prints_error(tmp_path, capsys):
    bag = write_bag(tmp_path / "bag", pairs(4), compression="MESSAGE")
    file = next(bag.glob("*.mcap"))
    content = bytearray(file.read_bytes())
    content[len(content) // 50 : len(content) // 50 + 24] = bytes([255] * 24)  # the sizes of a message among them
    file.write_bytes(content)
    arguments = ["derain-bag", str(bag), str(tmp_path / "out"), "--left-topic", LEFT, "--right-topic", RIGHT]
    assert main(arguments) == 2
    assert f"{bag} is damaged: " in capsys.readouterr().err.splitlines()[-1]


def test_derain_bag_command_matches_derainer(tmp_path, capsys):
    from apanet_core import StereoDerainer

    topics = ("/left/image_rect", "/right/image_rect")  # the defaults, found under /
    bag = write_bag(tmp_path / "bag", pairs(2, topics=topics))
    assert main(["derain-bag", str(bag), str(tmp_path / "out"), "--engine", "torch"]) == 0
    assert "2 pairs derained, 0 copied unchanged; without partner: 0 left, 0 right images" in capsys.readouterr().out
    expected = StereoDerainer("tiny", engine="torch")(view(2), view(3))
    for topic, clean in zip(topics, expected):
        np.testing.assert_array_equal(images(tmp_path / "out", topic)[START + 100 * MS].data, clean.reshape(-1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--left-topic", "/none"], "topic /none is not there; image topics of"),
        (["--left-topic", "/own", "--right-topic", RIGHT], "topic /own is a my_msgs/msg/Own, not an image"),
        (["--left-topic", LEFT, "--right-topic", LEFT], "must be two topics"),
        (["--model", "huge"], "huge"),
        (["--left-topic", LEFT, "--right-topic", RIGHT, "--engine", "magic"], "unknown engine 'magic'"),
        (["--jpeg-quality", "0"], "jpeg_quality 1 to 100"),
    ],
)
def test_derain_bag_bad_options_print_error_and_write_nothing(tmp_path, capsys, arguments, message):
    bag = write_bag(tmp_path / "bag", pairs(1))
    assert main(["derain-bag", str(bag), str(tmp_path / "out"), *arguments]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("apanet: error:")
    assert message in error
    assert [p.name for p in tmp_path.iterdir()] == ["bag"]


def test_derain_bag_without_derainable_pair_writes_no_output(tmp_path):
    with pytest.raises(ValueError, match="not one of the 2 pairs of .* could be derained: encoding 'yuv999'"):
        derain(write_bag(tmp_path / "bag", unreadable()), tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["bag"]


def test_derain_bag_preserves_custom_message_types(tmp_path):
    bag = write_bag(tmp_path / "bag", pairs(1))
    derain(bag, tmp_path / "out")
    with AnyReader([tmp_path / "out"]) as reader:
        assert reader.typestore.fielddefs["my_msgs/msg/Own"] == TYPES.fielddefs["my_msgs/msg/Own"]
