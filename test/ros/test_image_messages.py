"""Tests of images read and written as CDR bytes, compared with rclpy's serialization."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from messages import image_message
from rclpy.serialization import deserialize_message, serialize_message
from rosbags.typesys import Stores, get_typestore
from sensor_msgs.msg import Image

from apanet_core.images.encodings import decode, encode
from apanet_ros.image_messages import SerializedImage, read_image, write_image

FIELDS = ("height", "width", "encoding", "is_bigendian", "step")


def serialized_image(frame_id, encoding, big_endian=False, size=5):
    message = image_message(2**31 * 10**9 - 1)
    message.header.frame_id, message.encoding, message.is_bigendian = frame_id, encoding, 1
    del message.data[size:]
    if not big_endian:
        return message, serialize_message(message)
    types = get_typestore(Stores.ROS2_JAZZY)  # rclpy writes only this machine's byte order
    native = types.deserialize_cdr(serialize_message(message), "sensor_msgs/msg/Image")
    return message, bytes(types.serialize_cdr(native, "sensor_msgs/msg/Image", little_endian=False))


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=9), st.text("abc8", max_size=9), st.booleans(), st.integers(0, 9))
def test_read_image_reads_rclpy_serialization(frame_id, encoding, big_endian, size):
    frame_id = frame_id.replace("\0", "")
    message, data = serialized_image(frame_id, encoding, big_endian, size)
    image = read_image(data)
    assert isinstance(image, SerializedImage)
    assert image.header == message.header
    assert all(getattr(image, name) == getattr(message, name) for name in FIELDS)
    assert bytes(image.data) == message.data.tobytes()


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=9), st.sampled_from(["rgb8", "mono8", "bgra8"]), st.integers(1, 5), st.integers(1, 5))
def test_write_image_is_read_by_rclpy(frame_id, encoding, height, width):
    source = image_message(10**9 + 7, encoding=encoding, size=(height, width), padding=3)
    source.header.frame_id = frame_id.replace("\0", "")
    written = write_image(encode(decode(source), source), source.header)
    answer = deserialize_message(written, Image)
    assert answer.header == source.header
    assert (answer.height, answer.width, answer.encoding) == (height, width, encoding)
    np.testing.assert_array_equal(decode(answer), decode(source))


def test_pixels_are_not_copied():
    data = serialize_message(image_message(1))
    pixels = decode(read_image(data))
    assert np.shares_memory(pixels, np.frombuffer(data, np.uint8))


def test_every_cut_off_message_is_refused():
    _, data = serialized_image("camera", "rgb8")
    whole = read_image(data)
    end_of_pixels = data.rindex(bytes(whole.data)) + len(whole.data)
    for length in range(2, end_of_pixels):
        with pytest.raises(ValueError, match="broken or cut off|announces"):
            read_image(data[:length])


@pytest.mark.parametrize("position", range(4, 60))
def test_damaged_lengths_are_refused_or_read_within_message(position):
    _, data = serialized_image("camera", "rgb8")
    damaged = data[:position] + b"\xff\xff\xff\xff" + data[position + 4 :]
    try:
        image = read_image(damaged)
    except ValueError:
        return
    assert len(image.data) <= len(damaged)
