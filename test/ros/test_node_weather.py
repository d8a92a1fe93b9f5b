"""Tests of the node's class with fake networks: bypass, failures, rain level and compressed images."""

import gc
import threading

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from messages import FRAMES, SIDES, image_message, stamp_of
from node_rig import STAMPS, Rig, wait_for
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Float32

from apanet_core import StereoDerainer
from apanet_core.images.encodings import decode
from apanet_ros.derain_node import DerainNode
from apanet_ros.image_messages import decode_message


class FakeNetwork:
    """Makes images darker by `rain` grey levels; raises while `broken`."""

    model = "stand-in"

    class engine:  # noqa: N801 (an attribute of the real one)
        name, device, precision = "fake", "CPU", "float32"

    def __init__(self):
        self.rain, self.broken, self.calls = 20, False, 0

    def __call__(self, left, right):
        self.calls += 1
        if self.broken:
            raise RuntimeError("out of memory on the device")
        return tuple(np.where(v >= self.rain, v - self.rain, 0).astype(np.uint8) for v in (left, right))

    def close(self):
        pass


class FakeNode(DerainNode):
    def make_derainer(self, p):
        self.network = FakeNetwork()
        return self.network


@pytest.fixture
def start(ros):
    """Return a function that starts a node with parameters, each in a separate thread."""
    running = []

    def start(node_class=FakeNode, **values):
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        node = node_class(parameter_overrides=overrides)
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        assert node.autostart()
        thread = threading.Thread(target=executor.spin, daemon=True)
        thread.start()
        running.append((node, executor, thread))
        return node

    yield start
    for node, executor, thread in running:
        executor.shutdown()
        thread.join()
        node.on_shutdown(None)
        node.destroy_node()
    running.clear()
    del node, executor, thread
    gc.collect()  # rclpy keeps a lifecycle node in the graph until it is collected


@pytest.fixture
def rig(ros):
    rig = Rig()
    rig.levels = []
    rig.node.create_subscription(Float32, "/derain/rain_level", lambda m: rig.levels.append(m.data), 10)
    yield rig
    rig.close()


def untouched(rig, stamp):
    return all(got == image_message(stamp, side) for side, got in zip(SIDES, rig.wait_for_pair(stamp)))


def test_rain_level_of_pair_is_published(start, rig):
    node = start()
    rig.wait_until_heard()
    rig.send_until_answered()
    level = wait_for(lambda: rig.levels)[0]
    view = decode(image_message(0))
    expected = np.minimum(view[::4].astype(int), 20).mean()  # values below 20 are clipped to 0
    assert level == pytest.approx(expected, rel=1e-5)
    status = wait_for(lambda: next((d.status[0] for d in rig.diagnostics if _values(d)["rain level"]), None))
    assert status.level == DiagnosticStatus.OK
    assert node.network.calls == 1


def test_dry_pairs_are_unchanged_bytes_until_rain_is_detected(start, rig):
    node = start(bypass_when_dry=True, dry_pairs=2, recheck_s=1000.0)
    rig.wait_until_heard()
    assert not untouched(rig, rig.send())
    node.network.rain = 0
    for _ in range(2):
        rig.send_until_answered()
    calls = node.network.calls
    assert all(untouched(rig, rig.send(padding=0)) for _ in range(3))
    assert node.network.calls == calls == 3
    node.network.rain = 20
    node.set_parameters([Parameter("recheck_s", value=0.0)])
    wait_for(lambda: not untouched(rig, rig.send()))
    assert wait_for(lambda: rig.levels[-1] > 1)


@pytest.mark.parametrize("on_failure", ["passthrough", "drop"])
def test_network_failure_is_error_and_next_pair_is_derained(start, rig, on_failure):
    node = start(on_failure=on_failure)
    rig.wait_until_heard()
    node.network.broken = True
    stamp = rig.send()
    if on_failure == "passthrough":
        assert untouched(rig, stamp)
    status = wait_for(
        lambda: next((d.status[0] for d in list(rig.diagnostics) if d.status[0].level == DiagnosticStatus.ERROR), None)
    )
    assert "the network failed: out of memory on the device" in status.message
    node.network.broken = False
    good = rig.send()
    assert not untouched(rig, good)
    assert (rig.received(stamp) is None) == (on_failure == "drop")
    seen = len(rig.diagnostics)
    wait_for(lambda: any(d.status[0].level == DiagnosticStatus.OK for d in rig.diagnostics[seen:]))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"dry_threshold": 3.0}, "dry_threshold must not be above wet_threshold"),
        ({"on_failure": "panic"}, "on_failure must be one of passthrough, drop: got 'panic'"),
        ({"image_transport": "compressed"}, "image_transport is read on configure"),
        ({"engine": "magic"}, "engine must be one of auto, torch, openvino: got 'magic'"),
        ({"precision": "int8"}, "precision must be one of auto, float32, float16, bfloat16: got 'int8'"),
    ],
)
def test_impossible_changes_are_refused(start, change, reason):
    node = start()
    result = node.set_parameters([Parameter(name, value=value) for name, value in change.items()])[0]
    assert not result.successful
    assert reason in result.reason
    both = node.set_parameters_atomically(
        [Parameter("wet_threshold", value=5.0), Parameter("dry_threshold", value=4.0)]
    )
    assert both.successful


def test_present_value_of_fixed_parameter_is_accepted(start):
    node = start()
    same = [Parameter(name, value=node.get_parameter(name).value) for name in ("model", "engine", "image_transport")]
    assert all(result.successful for result in node.set_parameters(same))


def _values(array):
    return {v.key: v.value for v in array.status[0].values}


def compressed(view, stamp, side, suffix):
    message = CompressedImage(format=f"rgb8; {suffix[1:]} compressed bgr8")
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10**9)
    message.header.frame_id = FRAMES[side]
    message.data = type(message.data)("B", cv2.imencode(suffix, view[..., ::-1])[1].tobytes())
    return message


@pytest.mark.parametrize("suffix", [".png", ".jpeg"])
def test_compressed_images_in_and_out(start, rig, suffix):
    start(DerainNode, image_transport="compressed", engine="torch", jpeg_quality=100)
    publishers = {s: rig.node.create_publisher(CompressedImage, f"{s}/image_rect/compressed", 10) for s in SIDES}
    got = {side: [] for side in SIDES}
    for side in SIDES:
        rig.node.create_subscription(CompressedImage, f"derained/{side}/image_rect/compressed", got[side].append, 10)
    wait_for(lambda: all(p.get_subscription_count() for p in publishers.values()))
    stamp = next(STAMPS)
    views = [cv2.GaussianBlur(decode(image_message(0, seed=seed)), (0, 0), 4) for seed in range(2)]
    sent = [compressed(view, stamp, side, suffix) for side, view in zip(SIDES, views)]
    for side, message in zip(SIDES, sent):
        publishers[side].publish(message)
    expected = StereoDerainer("tiny", engine="torch")(*(decode(decode_message(message)) for message in sent))
    for side, raw, message, want in zip(SIDES, rig.wait_for_pair(stamp), sent, expected):
        assert (raw.encoding, raw.header) == ("rgb8", message.header)
        np.testing.assert_array_equal(decode(raw), want)
        answer = wait_for(lambda s=side: got[s] and got[s][0])
        assert (answer.header, answer.format) == (message.header, message.format)
        error = np.abs(decode(decode_message(answer)).astype(int) - want)
        assert error.max() == 0 if suffix == ".png" else error.mean() < 2


def test_raw_images_are_compressed_for_compressed_subscribers(start, rig):
    start()
    got = []
    rig.node.create_subscription(CompressedImage, "derained/left/image_rect/compressed", got.append, 10)
    rig.wait_until_heard()
    left, _ = rig.wait_for_pair(rig.send(encoding="mono8"))
    message = wait_for(lambda: got and got[0])
    assert (message.format, stamp_of(message)) == ("mono8; jpeg compressed mono8", stamp_of(left))
    assert np.abs(decode(decode_message(message)).astype(int) - decode(left)).mean() < 12  # noise at quality 95


def test_sixteen_bit_images_keep_their_range(start, rig):
    node = start()
    rig.wait_until_heard()
    node.network.rain = 0
    stamp = next(rig.stamps)
    for side in SIDES:
        source = image_message(stamp, side, size=(48, 128), encoding="mono8")
        source.encoding, source.width, source.is_bigendian = "mono16", 64, 1
        rig.image_pub[side].publish(source)
    right = rig.wait_for_pair(stamp)[1]
    assert (right.encoding, right.is_bigendian, right.step) == ("mono16", 1, 128)
    assert right.data == source.data


def test_misspelt_parameter_is_warned_of(start, capfd):
    start(bypas_when_dry=True, camera_height=1.2)  # the second may belong to another node
    logged = capfd.readouterr().err
    assert "no parameter 'bypas_when_dry': did you mean 'bypass_when_dry'?" in logged
    assert "camera_height" not in logged
