"""Tests of recordings played through the real node: online equals offline, and time may loop or stop."""

import numpy as np
import pytest
from messages import SIDES, image_message, stamp_of
from node_rig import NodeProcess, Rig, smooth_scene, wait_for
from rosbags.highlevel import AnyReader
from rosgraph_msgs.msg import Clock

from apanet_core.bags.plan import camera_info_beside
from apanet_core.commands.main import main
from tools.demo.recording import DEMO_TOPICS, TYPES, write_rainy_bag

MS = 10**6


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    """A bag of twelve rainy pairs, 100 ms apart, of a smooth scene with a disparity of 20 px."""
    path = tmp_path_factory.mktemp("bag") / "rainy"
    write_rainy_bag(path, smooth_scene(), frames=12, rate_hz=10.0)
    return path


def messages_of(path, topics):
    """Return the serialized messages of a bag by (topic, stamp)."""
    found = {}
    with AnyReader([path], default_typestore=TYPES) as reader:
        connections = [c for c in reader.connections if c.topic in topics]
        for connection, _, data in reader.messages(connections):
            found[connection.topic, stamp_of(reader.deserialize(data, connection.msgtype))] = bytes(data)
    return found


@pytest.fixture(scope="module")
def node(ros, tmp_path_factory):
    """A node in the bag's namespace that uses its clock."""
    # warmed up for the size, as in derain-bag: OpenVINO's dynamic-shape model can differ by a grey level
    parameters = ("use_sim_time:=true", "warmup_width:=192", "warmup_height:=96")
    node = NodeProcess(
        tmp_path_factory.mktemp("node") / "node.log", "-r", "__ns:=/stereo", *(a for p in parameters for a in ("-p", p))
    )
    yield node
    code, _ = node.end()
    assert code == 0, node.text()
    assert "Traceback" not in node.text()


@pytest.fixture
def play(node):
    """A rig that publishes the bag's messages."""
    rig = Rig("/stereo")
    rig.clock = rig.node.create_publisher(Clock, "/clock", 10)
    rig.wait_until_heard()
    rig.exchange()
    yield rig
    rig.close()


def play_once(rig, recorded, shift_ns=0):
    """Publish each pair with its clock after the previous pair has returned; return the stamps."""
    stamps = sorted({stamp for _, stamp in recorded})
    for stamp in stamps:
        now = Clock()
        now.clock.sec, now.clock.nanosec = divmod(stamp + shift_ns, 10**9)
        rig.clock.publish(now)
        counts = {side: len(rig.images[side]) for side in SIDES}
        for side in SIDES:
            rig.info_pub[side].publish(recorded[camera_info_beside(DEMO_TOPICS[side]), stamp])
            rig.image_pub[side].publish(recorded[DEMO_TOPICS[side], stamp])
        for side in SIDES:
            wait_for(lambda s=side, count=counts[side]: len(rig.images[s]) > count)
            assert stamp_of(rig.images[side][-1]) == stamp
    return stamps


def test_online_and_offline_outputs_are_equal(bag, play, tmp_path):
    arguments = ["--left_topic", DEMO_TOPICS["left"], "--right_topic", DEMO_TOPICS["right"]]
    assert main(["derain-bag", str(bag), str(tmp_path / "clean"), *arguments]) == 0
    topics = [*DEMO_TOPICS.values(), *(camera_info_beside(topic) for topic in DEMO_TOPICS.values())]
    recorded, offline = messages_of(bag, topics), messages_of(tmp_path / "clean", topics)
    stamps = play_once(play, recorded)
    assert len(stamps) == 12
    types = {"image": "sensor_msgs/msg/Image", "info": "sensor_msgs/msg/CameraInfo"}
    for side in SIDES:
        wait_for(lambda s=side: len(play.infos[s]) == len(stamps))
        for stamp, image, info in zip(stamps, play.images[side], play.infos[side]):
            clean = TYPES.deserialize_cdr(offline[DEMO_TOPICS[side], stamp], types["image"])
            rainy = TYPES.deserialize_cdr(recorded[DEMO_TOPICS[side], stamp], types["image"])
            assert (image.header.frame_id, image.encoding) == (clean.header.frame_id, clean.encoding)
            np.testing.assert_array_equal(np.frombuffer(image.data, np.uint8), clean.data)
            assert not np.array_equal(clean.data, rainy.data)
            camera = TYPES.deserialize_cdr(recorded[camera_info_beside(DEMO_TOPICS[side]), stamp], types["info"])
            assert np.array_equal(info.p, camera.p)
            assert stamp_of(info) == stamp


def test_looping_bag_in_simulated_time_keeps_pairing(bag, play):
    recorded = messages_of(bag, [*DEMO_TOPICS.values(), *(camera_info_beside(topic) for topic in DEMO_TOPICS.values())])
    loops = 4
    for _ in range(loops):
        stamps = play_once(play, recorded)  # as fast as the node answers, not at the 10 Hz of the recording
    for side in SIDES:
        assert [stamp_of(image) for image in play.images[side]] == stamps * loops  # nothing twice, nothing missing

    count = len(play.diagnostics)
    wait_for(lambda: len(play.diagnostics) > count + 1)
    report = play.diagnostics[-1]
    values = {entry.key: entry.value for entry in report.status[0].values}
    assert values["pairs published"] == values["pairs"]
    assert int(values["time jumps"]) >= loops - 1
    assert stamps[0] <= stamp_of(report) <= stamps[-1]  # on the clock of the bag


def test_stopped_clock_does_not_block_pairs_or_diagnostics(play):
    for _ in range(3):
        stamp = next(play.stamps)
        for side in SIDES:
            play.image_pub[side].publish(image_message(stamp, side))
        play.wait_for_pair(stamp)
    count = len(play.diagnostics)
    wait_for(lambda: len(play.diagnostics) > count + 1)
    assert stamp_of(play.diagnostics[-1]) == stamp_of(play.diagnostics[-2])  # /clock has no publisher any longer
