"""Tests with broken messages between valid pairs: thousands in this process, hundreds sent to a node."""

import collections
import itertools

import pytest
from fuzz import Fuzzer, compressed_message
from messages import SIDES, image_message, stamp_of
from node_rig import Rig, wait_for
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage

from apanet_ros.image_messages import receive
from apanet_ros.pair_processing import PairProcessor
from apanet_ros.parameters import NodeParameters
from apanet_ros.stereo_sync import SimpleFilter, StereoSynchronizer

MESSAGES = {"raw": 16000, "compressed": 4000}  # in process
THROUGH_DDS = {"raw": 200, "compressed": 100}
BURST = 9  # fewer than the depth of the node's subscriptions, so that none is lost
GOOD_SIZES = ((48, 64), (16, 16), (33, 47))
GOOD_ENCODINGS = ("rgb8", "bgr8", "mono8", "rgba8")


def send_burst(rig, fuzzer, image_pub, sent):
    """Publish `BURST` messages or one more, and count them by kind in `sent`."""
    count = 0
    while count < BURST:
        kind = str(fuzzer.rng.choice(["broken pair", "stray", "garbled", "info"], p=[0.5, 0.15, 0.1, 0.25]))
        side = SIDES[fuzzer.rng.integers(2)]
        if kind == "broken pair":
            for side, message in zip(SIDES, fuzzer.broken_pair(next(rig.stamps))):
                image_pub[side].publish(message)
            count += 1
        elif kind == "info":
            rig.info_pub[side].publish(fuzzer.info(side))
        else:
            image_pub[side].publish(getattr(fuzzer, kind)(side))
        count += 1
        sent[kind] += 2 if kind == "broken pair" else 1


@pytest.mark.parametrize("transport", MESSAGES)
def test_broken_messages_raise_value_error_and_valid_pairs_are_processed(transport):
    compressed = transport == "compressed"
    fuzzer, answered, counts = Fuzzer(seed=8, compressed=compressed), [], collections.Counter()
    filters = {side: SimpleFilter() for side in SIDES}
    process, parameters = PairProcessor(lambda left, right: (left, right)), NodeParameters()

    def on_pair(left, right):
        try:
            answered.append((left.header.stamp.sec, process(left, right, parameters)))
        except ValueError:  # unequal sizes, or damage that only decoding detects
            counts["refused"] += 1

    def send(side, message):
        counts["sent"] += 1
        try:
            image = receive(message if isinstance(message, CompressedImage) else serialized(message), 16.0)
        except ValueError:
            counts["refused"] += 1
        else:
            filters[side].signalMessage(image)

    synchronizer = StereoSynchronizer(filters["left"], filters["right"])
    synchronizer.registerCallback(on_pair)
    stamps = itertools.count(10**18, 10**9)  # later than all stamps of the fuzzer
    while counts["sent"] < MESSAGES[transport]:
        for side, message in zip(SIDES, fuzzer.broken_pair(next(stamps))):
            send(side, message)
        for kind in ("stray",) if compressed else ("stray", "garbled"):
            side = SIDES[fuzzer.rng.integers(2)]
            send(side, getattr(fuzzer, kind)(side))
        stamp, size = next(stamps), GOOD_SIZES[counts["sent"] // 100 % len(GOOD_SIZES)]
        make = compressed_message if compressed else image_message
        for side in SIDES:
            send(side, make(stamp, side, size=size))
        sec, result = answered[-1]
        assert (sec, result.size, result.failure) == (stamp // 10**9, size, "")
    assert counts["refused"] > 0.1 * counts["sent"]
    print(f"\n{transport}: {dict(counts)}, {len(answered)} pairs answered")


def serialized(message):
    """Return the bytes of a message; garbled messages are bytes already."""
    return message if isinstance(message, bytes) else serialize_message(message)


@pytest.mark.parametrize("transport", THROUGH_DDS)
def test_broken_messages_to_node_publish_only_valid_pairs(start, transport):
    node = start("-p", f"image_transport:={transport}")
    rig, fuzzer, sent = Rig(), Fuzzer(seed=7, compressed=transport == "compressed"), collections.Counter()
    image_pub = rig.image_pub
    if transport == "compressed":
        make = rig.node.create_publisher
        image_pub = rig.image_pub = {s: make(CompressedImage, f"{s}/image_rect/compressed", 50) for s in SIDES}
    rig.wait_until_heard()
    good, before = 0, None
    while sum(sent.values()) < THROUGH_DDS[transport]:
        send_burst(rig, fuzzer, image_pub, sent)
        size = GOOD_SIZES[good // 100 % len(GOOD_SIZES)]
        if transport == "raw":
            stamp = rig.send(size=size, encoding=GOOD_ENCODINGS[good % 4], padding=good % 3)
        else:
            stamp = next(rig.stamps)
            for side in SIDES:
                image_pub[side].publish(compressed_message(stamp, side, (".png", ".jpeg")[good % 2], size=size))
        for image in rig.wait_for_pair(stamp, poll_s=0.002):
            assert (image.height, image.width) == size
        got = {stamp_of(message) for messages in (*rig.images.values(), *rig.infos.values()) for message in messages}
        assert got <= {stamp, before}  # CameraInfo of the previous pair may arrive after its images
        good, before = good + 1, stamp
        last = rig.diagnostics[-1] if rig.diagnostics else None
        rig.forget()
    last = wait_for(lambda: rig.diagnostics and rig.diagnostics[-1]) or last
    failures = int({v.key: v.value for v in last.status[0].values}["failures"])
    rig.close()
    code, _ = node.end()
    assert code == 0, node.text()[-2000:]
    assert "Traceback" not in node.text()
    print(f"\n{transport}: {dict(sent)}, {good} good pairs, all answered; {failures} refused")
    assert failures > 0.6 * sent["broken pair"]  # two of three images, or the pair
