"""Recordings to derain, and derainers that need no network."""

import cv2
import numpy as np
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from apanet_core.bags.derain_bag import derain_bags
from apanet_core.bags.plan import BagSettings

TYPES = get_typestore(Stores.ROS2_HUMBLE)
TYPES.register(get_types_from_msg("string text\nuint8[] more\n", "my_msgs/msg/Own"))
T = TYPES.types
IMAGE, COMPRESSED, OWN = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage", "my_msgs/msg/Own"
LEFT, RIGHT = "/cam/left/image_rect", "/cam/right/image_rect"
SETTINGS = BagSettings(LEFT, RIGHT)
MS = 1_000_000
START = 1_700_000_000 * 1000 * MS


class Inverter:
    """Stands in for the network: 255 - image; counts its pairs."""

    def __init__(self):
        self.pairs = 0

    def __call__(self, left, right):
        self.pairs += 1
        return 255 - left, 255 - right

    def warm_up(self, height, width):
        assert (height, width) == (24, 32)

    def close(self):
        pass


def derain(bag, out, settings=SETTINGS, make=Inverter, options=None):
    return derain_bags([bag], [out], settings, make, {"model": "inverter"}, options)[0]


def view(seed, size=(24, 32)):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def header(stamp):
    time = T["builtin_interfaces/msg/Time"](sec=stamp // 10**9, nanosec=stamp % 10**9)
    return T["std_msgs/msg/Header"](stamp=time, frame_id="camera")


def image(seed, stamp, encoding="rgb8", padding=3):
    rows = np.pad(view(seed).reshape(24, -1), ((0, 0), (0, padding)), constant_values=99)
    return T[IMAGE](
        header=header(stamp),
        height=24,
        width=32,
        encoding=encoding,
        is_bigendian=0,
        step=rows.shape[1],
        data=rows.reshape(-1),
    )


def compressed(seed, stamp, suffix=".png"):
    data = cv2.imencode(suffix, view(seed)[..., ::-1])[1].reshape(-1)
    return T[COMPRESSED](header=header(stamp), format=f"bgr8; {suffix[1:]} compressed bgr8", data=data)


def camera_info(stamp):
    roi = T["sensor_msgs/msg/RegionOfInterest"](x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
    return T["sensor_msgs/msg/CameraInfo"](
        header=header(stamp), height=24, width=32, distortion_model="plumb_bob", d=np.zeros(5), k=np.eye(3).reshape(-1),
        r=np.eye(3).reshape(-1), p=np.eye(3, 4).reshape(-1), binning_x=0, binning_y=0, roi=roi,
    )  # fmt: skip


def pairs(count, make=image, lag_ms=0, topics=(LEFT, RIGHT)):
    """Messages of `count` pairs at 10 Hz, with CameraInfo and a topic of another type."""
    for i in range(count):
        stamp = START + 100 * i * MS
        for side, topic in enumerate(topics):
            own = stamp + side * lag_ms * MS
            info = topic.replace("/compressed", "").replace("image_rect", "camera_info")
            yield topic, stamp + side * MS, make(2 * i + side, own)
            yield info, stamp + side * MS, camera_info(own)
        yield "/own", stamp + 5 * MS, T[OWN](text=f"message {i}", more=np.arange(i, dtype=np.uint8))


def write_bag(path, messages, plugin="MCAP", compression=None, version=9):
    with_definitions = {}
    writer = Writer(path, version=version, storage_plugin=StoragePlugin[plugin])
    if compression:
        writer.set_compression(CompressionMode[compression], CompressionFormat.ZSTD)
    with writer:
        for topic, log, message in messages:
            if topic not in with_definitions:
                with_definitions[topic] = writer.add_connection(topic, message.__msgtype__, typestore=TYPES)
            writer.write(with_definitions[topic], log, bytes(TYPES.serialize_cdr(message, message.__msgtype__)))
    return path


def read_bag(path):
    """Every message as (topic, log time, bytes), in the order of the log."""
    with AnyReader([path], default_typestore=TYPES) as reader:
        return [(c.topic, log, bytes(data)) for c, log, data in reader.messages()]


def images(path, topic):
    """Header stamp -> message."""
    with AnyReader([path], default_typestore=TYPES) as reader:
        connections = [c for c in reader.connections if c.topic == topic]
        found = [reader.deserialize(data, c.msgtype) for c, _, data in reader.messages(connections)]
    return {m.header.stamp.sec * 10**9 + m.header.stamp.nanosec: m for m in found}
