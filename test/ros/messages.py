"""Messages of cameras."""

from array import array

import numpy as np
from sensor_msgs.msg import CameraInfo, Image

SIDES = ("left", "right")
FRAMES = {side: f"{side}_camera_optical_frame" for side in SIDES}


def image_message(stamp_ns, side="left", size=(48, 64), encoding="rgb8", padding=0, seed=0):
    """Return a noise image whose rows end with `padding` extra bytes."""
    channels = {"mono8": 1, "bayer_rggb8": 1, "yuv422_yuy2": 2, "rgba8": 4, "bgra8": 4}.get(encoding, 3)
    rows = np.random.default_rng(seed).integers(0, 256, (size[0], size[1] * channels + padding), dtype=np.uint8)
    message = Image(height=size[0], width=size[1], encoding=encoding, step=rows.shape[1])
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
    message.header.frame_id = FRAMES[side]
    message.data = array("B", rows.tobytes())
    return message


def info_message(stamp_ns, side="left", size=(48, 64)):
    message = CameraInfo(height=size[0], width=size[1], distortion_model="plumb_bob", d=[0.1, 0.2, 0.0, 0.0, 0.3])
    message.header = image_message(stamp_ns, side, size=(1, 1)).header
    message.k, message.r = (
        [700.0, 0.0, 32.0, 0.0, 700.0, 24.0, 0.0, 0.0, 1.0],
        [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
    )
    message.p = [700.0, 0.0, 32.0, -378.0 if side == "right" else 0.0, 0.0, 700.0, 24.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    return message


def stamp_of(message):
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
