"""Write the demo's recording, and open other stereo recordings, without ROS."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rosbags.highlevel import AnyReader, AnyReaderError
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from apanet_core.bags.plan import camera_info_beside
from apanet_core.bags.read import bag_root
from apanet_core.progress import progress_bar
from apanet_core.rain.counter_random import CounterRandom
from apanet_core.rain.drops import Rain
from apanet_core.rain.render import render_rain
from apanet_core.rain.weather import Weather
from apanet_core.stereo.camera import StereoCamera
from apanet_core.stereo.disparity import fill_unknown, to_right_view

IMAGE, INFO = "sensor_msgs/msg/Image", "sensor_msgs/msg/CameraInfo"
SIDES = ("left", "right")
TYPES = get_typestore(Stores.ROS2_HUMBLE)
# Middlebury 2014 "Motorcycle" at the size scikit-image ships; calibration from skimage.data.stereo_motorcycle's docs.
MOTORCYCLE = StereoCamera(focal_px=994.978, baseline_m=0.193001, cx=311.193, cy=254.877, cx_right=342.279)
DEMO_RAIN = Weather(Rain(rate_mm_h=60, exposure_s=0.008, wind_mps=1.0, aperture_px=1.0, brightness=0.8))
DEMO_TOPICS = {"left": "/stereo/left/image_rect", "right": "/stereo/right/image_rect"}
FIRST_STAMP_S = 1_700_000_000


@dataclass(frozen=True)
class Truth:
    """The demo's scene: clean views (H, W, 3) uint8, and the disparity (H, W) in px, NaN where unknown."""

    left: np.ndarray
    right: np.ndarray
    disparity: np.ndarray


@dataclass(frozen=True)
class StereoBag:
    """A bag with its image topics and their CameraInfo topics, as far as it has them.

    Attributes:
        path: folder or file of the bag.
        images: image topic by side, "left" and "right".
        infos: CameraInfo topic by side.
        pairs: messages on the image topic that has fewer.
        size: height and width of the left images in px.
    """

    path: Path
    images: dict[str, str]
    infos: dict[str, str]
    pairs: int
    size: tuple[int, int]


def motorcycle() -> Truth:
    """Return a real colour pair with measured disparity, from the scikit-image package."""
    from skimage.data import stereo_motorcycle

    left, right, disparity = stereo_motorcycle()
    return Truth(left, right, np.where(np.isfinite(disparity), disparity, np.nan))


def write_rainy_bag(path: Path, truth: Truth, frames: int, rate_hz: float) -> None:
    """Render rain over a scene, different in every frame, into an MCAP bag.

    Args:
        path: folder of the bag, which must not exist.
        truth: the scene.
        frames: number of pairs.
        rate_hz: pairs per second.
    """
    left_disparity = fill_unknown(truth.disparity)
    disparities = left_disparity, to_right_view(left_disparity)
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections = {}
        for topic in DEMO_TOPICS.values():
            info_topic = camera_info_beside(topic)
            connections[topic] = writer.add_connection(topic, IMAGE, typestore=TYPES)
            connections[info_topic] = writer.add_connection(info_topic, INFO, typestore=TYPES)
        for index in progress_bar(range(frames), desc="render rain", unit="pair"):
            random = CounterRandom(0, torch.tensor([index]))
            rainy = render_rain((truth.left, truth.right), disparities, MOTORCYCLE, DEMO_RAIN, random)
            stamp = FIRST_STAMP_S * 1_000_000_000 + round(index * 1e9 / rate_hz)
            for side, view in zip(SIDES, (rainy.left, rainy.right)):
                topic, header = DEMO_TOPICS[side], _header(stamp, f"{side}_camera_optical_frame")
                messages = {topic: _image(view, header), camera_info_beside(topic): _info(view, header, side)}
                for name, message in messages.items():
                    connection = connections[name]
                    writer.write(connection, stamp, TYPES.serialize_cdr(message, connection.msgtype))


def open_stereo_bag(path: Path, left: str, right: str) -> StereoBag:
    """Open a recording (MCAP or sqlite3) and find its topics.

    Args:
        path: folder of the bag, or one of its files.
        left: topic of the left images.
        right: topic of the right images.

    Returns:
        The topics, the number of pairs and the image size.

    Raises:
        FileNotFoundError: no bag there.
        ValueError: a topic is missing or holds no images; the message lists the image topics of the bag.
    """
    if not path.exists():
        raise FileNotFoundError(f"no bag at {path}")
    try:
        with AnyReader([bag_root(path)], default_typestore=TYPES) as reader:
            types = {c.topic: c.msgtype for c in reader.connections}
            for topic in (left, right):
                if types.get(topic) != IMAGE:
                    what = f"is a {types[topic]}, not a {IMAGE}" if topic in types else "is not there"
                    listing = ", ".join(f"{t} ({k})" for t, k in sorted(types.items())) or "nothing"
                    raise ValueError(f"topic {topic} {what}; {path} holds: {listing}")
            first = next(reader.messages([c for c in reader.connections if c.topic == left]), None)
            if first is None:
                raise ValueError(f"topic {left} of {path} holds no messages")
            message: Any = reader.deserialize(first[2], IMAGE)
            counts = [sum(c.msgcount for c in reader.connections if c.topic == topic) for topic in (left, right)]
    except AnyReaderError as error:
        raise ValueError(f"{path} is not a readable bag: {error}") from error
    images = {"left": left, "right": right}
    beside = {side: camera_info_beside(topic) for side, topic in images.items()}
    infos = {side: topic for side, topic in beside.items() if types.get(topic) == INFO}
    return StereoBag(path, images, infos, min(counts), (message.height, message.width))


def _header(stamp_ns: int, frame_id: str) -> Any:
    stamp = TYPES.types["builtin_interfaces/msg/Time"](sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return TYPES.types["std_msgs/msg/Header"](stamp=stamp, frame_id=frame_id)


def _image(view: np.ndarray, header: Any) -> Any:
    height, width = view.shape[:2]
    return TYPES.types[IMAGE](
        header=header,
        height=height,
        width=width,
        encoding="rgb8",
        is_bigendian=0,
        step=3 * width,
        data=view.reshape(-1),
    )


def _info(view: np.ndarray, header: Any, side: str) -> Any:
    camera = MOTORCYCLE
    focal, cx, cy = camera.focal_px, camera.cx, camera.cy
    shift = 0.0
    if side == "right":
        cx, shift = camera.cx + camera.disparity_offset, -focal * camera.baseline_m
    roi = TYPES.types["sensor_msgs/msg/RegionOfInterest"](x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
    return TYPES.types[INFO](
        header=header,
        height=view.shape[0],
        width=view.shape[1],
        distortion_model="plumb_bob",
        d=np.zeros(5),
        k=np.array([focal, 0, cx, 0, focal, cy, 0, 0, 1.0]),
        r=np.eye(3).reshape(-1),
        p=np.array([focal, 0, cx, shift, 0, focal, cy, 0, 0, 0, 1.0, 0]),
        binning_x=0,
        binning_y=0,
        roi=roi,
    )
