import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from messages import image_message
from node_rig import SYMMETRIC
from sensor_msgs.msg import CompressedImage, Image

from apanet_core.images import encodings
from apanet_core.images.encodings import decode, encode, view_of
from apanet_ros.image_messages import checked_size, decode_message


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("encoding", SYMMETRIC)
def test_round_trip_keeps_pixels_and_encoding(encoding, padding):
    source = image_message(123, encoding=encoding, padding=padding)
    rgb = decode(source)
    assert rgb.shape == (48, 64, 3)
    back = encode(rgb, source)
    assert (back.encoding, back.height, back.width) == (encoding, 48, 64)
    assert back.step == 64 * view_of(source).shape[2]
    assert back.data.nbytes == back.step * 48
    np.testing.assert_array_equal(view_of(back), view_of(source))  # mono and alpha included


def test_bgra_channels_are_decoded_to_rgb_order():
    message = image_message(0, encoding="bgra8", size=(1, 1))
    message.data[:4] = type(message.data)("B", [1, 2, 3, 4])
    assert decode(message)[0, 0].tolist() == [3, 2, 1]


@pytest.mark.parametrize("padding", [0, 6])
def test_raw_camera_encodings_come_out_as_rgb(padding):
    message = image_message(0, encoding="bayer_rggb8", padding=padding)
    for row, pattern in enumerate((b"\xc8\x32", b"\x32\x0a")):  # red 200, green 50, blue 10 everywhere
        for y in range(row, 48, 2):
            message.data[y * message.step : y * message.step + 64] = type(message.data)("B", pattern * 32)
    assert decode(message)[8:-8, 8:-8].reshape(-1, 3).tolist() == [[200, 50, 10]] * (32 * 48)
    assert encode(decode(message), message).encoding == "rgb8"
    grey = image_message(0, encoding="yuv422_yuy2", padding=padding)
    grey.data[:] = type(grey.data)("B", [126, 128] * (len(grey.data) // 2))  # Y 126, U and V neutral
    assert np.abs(decode(grey).astype(int) - 128).max() <= 1


def test_rgb_is_not_copied():
    message = image_message(0)
    view = decode(message)
    message.data[0] = (message.data[0] + 1) % 256
    assert view[0, 0, 0] == message.data[0]


def test_data_longer_than_needed_is_accepted():
    message = image_message(0)
    message.data.extend(b"tail")
    assert decode(message).shape == (48, 64, 3)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"encoding": "yuv999"}, "encoding 'yuv999' is not supported: publish one of rgb8, bgr8"),
        ({"height": 0}, "64x0 px has no pixels"),
        ({"step": 100}, "step is 100 bytes, but a row of 64 px rgb8 takes 192"),
        ({"height": 49}, "data holds 9216 bytes: height 49 x step 192 needs 9408"),
        ({"step": 2**32 - 1}, "needs"),
    ],
)
def test_broken_message_error_names_reason(change, reason):
    message = image_message(0)
    for field, value in change.items():
        setattr(message, field, value)
    with pytest.raises(ValueError, match=reason):
        decode(message)


def test_unknown_encoding_is_decoded_by_cv_bridge_if_installed(monkeypatch):
    rgb = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    message = Image(height=4, width=6, encoding="nv24", step=6)
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "cv_bridge", None)
        with pytest.raises(ValueError, match="'nv24' is not supported: publish one of rgb8"):
            decode(decode_message(message))

    class CvBridge:
        def imgmsg_to_cv2(self, given, encoding):
            assert (given, encoding) == (message, "rgb8")
            return rgb

    monkeypatch.setitem(sys.modules, "cv_bridge", SimpleNamespace(CvBridge=CvBridge))
    image = decode_message(message)
    assert np.array_equal(decode(image), rgb)
    assert encodings.encode(rgb, image).encoding == "rgb8"
    monkeypatch.setattr(CvBridge, "imgmsg_to_cv2", lambda *_: 1 / 0)
    with pytest.raises(ValueError, match="cv_bridge cannot make rgb8"):
        decode_message(message)


def test_broken_image_is_refused_with_cv_bridge_installed(monkeypatch):
    class CvBridge:
        def encoding_to_dtype_with_channels(self, encoding):
            return {"32FC1": ("float32", 1)}[encoding]

    monkeypatch.setitem(sys.modules, "cv_bridge", SimpleNamespace(CvBridge=CvBridge))
    whole = {"height": 4, "width": 6, "encoding": "32FC1", "step": 24, "data": bytes(96)}
    assert checked_size(Image(**whole), 16.0) == (4, 6)
    for change, reason in (
        ({"encoding": "yuv999"}, "'yuv999' is not supported: publish one of rgb8"),
        ({"width": 0}, "0x4 px has no pixels"),
        ({"step": 23}, "step is 23 bytes, but a row of 6 px 32FC1 takes 24"),
        ({"data": bytes(95)}, "data holds 95 bytes: height 4 x step 24 needs 96"),
    ):
        with pytest.raises(ValueError, match=reason):
            checked_size(Image(**whole | change), 16.0)


def test_decompression_bomb_is_refused_before_decoding(monkeypatch):
    for suffix in (".png", ".jpg"):
        bomb = CompressedImage(
            format="jpeg", data=cv2.imencode(suffix, np.zeros((4100, 4000, 3), np.uint8))[1].tobytes()
        )
        assert len(bomb.data) < 400_000
        with monkeypatch.context() as patch:
            patch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
            with pytest.raises(
                ValueError, match="expected at most 16 megapixels, got 4000x4100, which is 16.4: publish"
            ):
                checked_size(bomb, 16.0)
        assert checked_size(bomb, 17.0) == (4100, 4000)


def test_compressed_mosaic_is_refused_but_colour_is_accepted():
    grey, colour = (cv2.imencode(".png", np.zeros(size, np.uint8))[1].tobytes() for size in ((4, 6), (4, 6, 3)))
    with pytest.raises(ValueError, match="got a compressed mosaic .*let the driver compress colour"):
        decode_message(CompressedImage(format="bayer_rggb8; png compressed ", data=grey))
    assert decode_message(CompressedImage(format="bayer_rggb8; jpeg compressed bgr8", data=colour)).encoding == "bgr8"


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_size_in_header_is_that_of_decoded_image(suffix):
    for size in ((1, 1), (48, 64), (33, 500)):
        data = cv2.imencode(suffix, np.zeros(size, np.uint8))[1].tobytes()
        assert checked_size(CompressedImage(data=data), 1.0) == size
        if suffix == ".jpg":  # an application segment with padding bytes and a thumbnail of another size
            thumbnail = cv2.imencode(suffix, np.zeros((5, 5), np.uint8))[1].tobytes()
            own = b"\xff\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
            data = data[:2] + own + data[2:]
            assert checked_size(CompressedImage(data=data), 1.0) == size
            assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED).shape == size


@pytest.mark.parametrize(
    "data", [b"\xff\xd8\xff\xd9", b"\xff\xd8\xff\xc0\x00", b"\x89PNG\r\n\x1a\n", b"\xff\xd8" + bytes(99)]
)
def test_header_without_size_is_refused(data):
    with pytest.raises(ValueError, match="damaged: no size in its header"):
        checked_size(CompressedImage(data=data), 1.0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"width": 2**32 - 1, "height": 2**32 - 1}, "expected at most 1 megapixels, got 4294967295x4294967295"),
        ({"height": 480}, "data holds 9216 bytes: height 480 x step 192 needs 92160"),
        ({"step": 2**32 - 1}, "needs 206158430160"),
        ({"encoding": "yuv999"}, "encoding 'yuv999' is not supported: publish one of rgb8"),
        ({"data": bytes(9_000_000)}, "expected at most 8 MB, 8 for each of max_megapixels, got 9.0 MB for 64x48 px"),
    ],
)
def test_contradicting_fields_are_refused(change, reason):
    message = image_message(0)
    assert checked_size(message, 1.0) == (48, 64)
    for field, value in change.items():
        setattr(message, field, value)
    with pytest.raises(ValueError, match=reason):
        checked_size(message, 1.0)
