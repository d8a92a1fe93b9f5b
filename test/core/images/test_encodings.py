import dataclasses

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apanet_core.images.channel_order import contiguous
from apanet_core.images.codecs import codec_and_format, compress, decompress
from apanet_core.images.encodings import ENCODINGS, RawImage, decode, encode, output_encoding, view_of

SAME = [e for e in ENCODINGS if output_encoding(e) == e]
WIDE = [e for e in ENCODINGS if e.endswith("16") or e.startswith("16")]


@dataclasses.dataclass
class Compressed:
    """The fields of sensor_msgs/CompressedImage without the header."""

    format: str
    data: bytes


def noise(encoding, height=6, width=8, padding=0, big_endian=0, seed=0):
    """Return an image of noise with `padding` extra bytes a row."""
    rows = 3 * height // 2 if encoding.startswith("nv") else height
    probe = RawImage(encoding, height, width, 10**4, big_endian, np.zeros(10**4 * rows, np.uint8))
    view = view_of(probe)
    step = view.shape[1] * view.shape[2] * view.itemsize + padding
    data = np.random.default_rng(seed).integers(0, 256, rows * step, dtype=np.uint8)
    return RawImage(encoding, height, width, step, big_endian, data.tobytes())


def solid(encoding, values, height=8, width=8, dtype="<u2"):
    pixels = np.tile(np.array(values, dtype), (height, width, 1))
    return RawImage(encoding, height, width, pixels.strides[0], int(dtype[0] == ">"), pixels.tobytes())


def gray(rgb):
    return cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)[..., None]


@given(st.sampled_from(SAME), st.integers(0, 9), st.integers(0, 1), st.integers(0, 99))
def test_encode_unchanged_pixels_returns_equal_message(encoding, padding, big_endian, seed):
    source = noise(encoding, padding=padding, big_endian=big_endian, seed=seed)
    back = encode(decode(source), source)
    assert (back.encoding, back.height, back.width, back.is_bigendian) == (encoding, 6, 8, big_endian)
    assert back.step == 8 * view_of(source).shape[2] * view_of(source).itemsize
    np.testing.assert_array_equal(view_of(back), view_of(source))


@given(st.sampled_from(WIDE), st.integers(0, 9), st.integers(0, 1), st.integers(0, 99))
def test_encode_16_bits_scales_change_by_257(encoding, padding, big_endian, seed):
    source = noise(encoding, padding=padding, big_endian=big_endian, seed=seed)
    rgb = decode(source)
    darker = np.where(rgb >= 10, rgb - 10, 0).astype(np.uint8)
    before, after = encode(rgb, source), encode(darker, source)
    assert after.encoding == output_encoding(encoding)
    assert after.encoding.endswith("16") or after.encoding.startswith("16UC")
    colours = slice(0, 3)  # alpha, where there is any, stays
    change = view_of(before)[..., colours].astype(int) - view_of(after)[..., colours]
    dark = decode(before) < 10
    expected = 257 * (decode(before).astype(int) - np.where(dark, 0, decode(before).astype(int) - 10))
    if view_of(after).shape[2] == 1:
        expected = expected[..., :1]
    elif "bgr" in encoding or encoding in ("16UC3", "16UC4"):
        expected = expected[..., ::-1]
    clipped = view_of(after)[..., colours] == 0
    np.testing.assert_array_equal(change[~clipped], expected[~clipped])
    assert (change[clipped] <= expected[clipped]).all()
    np.testing.assert_array_equal(view_of(after)[..., 3:], view_of(before)[..., 3:])


def test_decode_mono16_rounds_to_nearest_8_bit_level():
    values = np.arange(65536, dtype=np.uint16)
    got = decode(RawImage("mono16", 256, 256, 512, 0, values))[..., 0].reshape(-1)
    np.testing.assert_array_equal(got, np.rint(values / 257))


@pytest.mark.parametrize("encoding", ["bgr8", "8UC3"])
@pytest.mark.parametrize("padding", [0, 3])
def test_bgr8_is_neither_copied_nor_swapped_on_the_way_through(encoding, padding):
    source = noise(encoding, padding=padding)
    rgb = decode(source)
    assert np.shares_memory(rgb, view_of(source))
    np.testing.assert_array_equal(rgb, cv2.cvtColor(view_of(source), cv2.COLOR_BGR2RGB))
    for clean in (rgb, contiguous(rgb)):  # as a card and as OpenVINO returns it
        np.testing.assert_array_equal(view_of(encode(clean, source)), view_of(source))
    np.testing.assert_array_equal(view_of(encode(rgb, solid("mono8", [1], 6, 8, "u1"))), gray(rgb))


@pytest.mark.parametrize("columns", [slice(None), slice(1, 5), slice(None, None, -1), slice(None, None, 2)])
def test_contiguous_of_any_view_has_its_pixels(columns):
    bgr = view_of(noise("bgr8"))
    for view in (bgr[:, columns], bgr[:, columns, ::-1], bgr[::-1, columns, ::-1]):
        assert contiguous(view).flags.c_contiguous
        np.testing.assert_array_equal(contiguous(view), view)


@pytest.mark.parametrize("dtype", ["<u2", ">u2"])
def test_decode_16_bit_colours_returns_rgb_order(dtype):
    assert decode(solid("bgra16", [257, 514, 771, 9], dtype=dtype))[0, 0].tolist() == [3, 2, 1]
    assert decode(solid("16UC3", [257, 514, 771], dtype=dtype))[0, 0].tolist() == [3, 2, 1]
    assert decode(solid("rgb16", [257, 514, 771], dtype=dtype))[0, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
@pytest.mark.parametrize("bits", [8, 16])
def test_decode_bayer_pattern_returns_true_colour(pattern, bits):
    dtype, scale = (np.uint8, 1) if bits == 8 else ("<u2", 257)
    colour = {"r": 200 * scale, "g": 50 * scale, "b": 10 * scale}
    tile = np.array([[colour[c] for c in pattern[:2]], [colour[c] for c in pattern[2:]]], dtype)
    mosaic = np.tile(tile, (8, 8))
    source = RawImage(f"bayer_{pattern}{bits}", 16, 16, mosaic.strides[0], 0, mosaic.tobytes())
    assert np.unique(decode(source)[2:-2, 2:-2].reshape(-1, 3), axis=0).tolist() == [[200, 50, 10]]
    assert encode(decode(source), source).encoding == f"rgb{bits}"


@pytest.mark.parametrize("encoding", ["yuv422", "uyvy", "yuv422_yuy2", "yuyv", "nv12", "nv21"])
@pytest.mark.parametrize("padding", [0, 4])
def test_decode_yuv_returns_true_colour(encoding, padding):
    y, u, v = 81, 90, 240  # BT.601's red
    order = {"yuv422": (u, y, v, y), "uyvy": (u, y, v, y), "yuv422_yuy2": (y, u, y, v), "yuyv": (y, u, y, v)}
    if encoding in order:
        rows = np.tile(np.array(order[encoding], np.uint8), (8, 4))
    else:
        chroma = (u, v) if encoding == "nv12" else (v, u)
        rows = np.vstack([np.full((8, 8), y, np.uint8), np.tile(np.array(chroma, np.uint8), (4, 4))])
    rows = np.pad(rows, ((0, 0), (0, padding)))
    source = RawImage(encoding, 8, 8, rows.shape[1], 0, rows.tobytes())
    assert np.abs(decode(source).astype(int) - [255, 0, 0]).max() <= 2
    back = encode(decode(source), source)
    assert (back.encoding, back.data.shape, back.step) == ("rgb8", (8, 8, 3), 24)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (RawImage("nv12", 5, 8, 8, 0, bytes(200)), "nv12 needs an even width and height: got 8x5"),
        (RawImage("nv12", 4, 8, 8, 0, bytes(32)), "data holds 32 bytes: height 6 x step 8 needs 48"),
        (RawImage("yuyv", 4, 7, 16, 0, bytes(200)), "yuyv needs an even width: got 7"),
        (RawImage("mono16", 4, 8, 8, 0, bytes(200)), "step is 8 bytes, but a row of 8 px mono16 takes 16"),
        (RawImage("32FC1", 4, 8, 32, 0, bytes(200)), "encoding '32FC1' is not supported: publish one of rgb8, bgr8"),
    ],
)
def test_decode_invalid_image_is_refused(image, reason):
    with pytest.raises(ValueError, match=reason):
        decode(image)


@pytest.mark.parametrize("encoding", SAME)
@pytest.mark.parametrize("big_endian", [0, 1])
def test_compress_png_preserves_pixels_and_encoding(encoding, big_endian):
    source = noise(encoding, big_endian=big_endian)
    image = encode(decode(source), source)
    name = {"UC1": "mono", "UC3": "bgr", "UC4": "bgra"}
    named = name[encoding[-3:]] + encoding[:-3] if "UC" in encoding else encoding
    back = decompress(Compressed(f"{named}; png compressed", compress(image, "png", 95)))
    assert back.encoding == named
    np.testing.assert_array_equal(view_of(back), view_of(source))


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "mono8", "rgba8"])
def test_compress_jpeg_matches_opencv(encoding):
    source = noise(encoding, 32, 32)
    image = encode(decode(source), source)
    codec, name = codec_and_format(image)
    assert (codec, name) == ("jpeg", f"{encoding}; jpeg compressed {'mono8' if encoding == 'mono8' else 'bgr8'}")
    data = compress(image, codec, 90)
    expected = cv2.imencode(".jpg", cv2.cvtColor(decode(source), cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
    difference = decode(decompress(Compressed(name, data))).astype(int) - cv2.imdecode(expected, 1)[..., ::-1]
    assert np.abs(difference).max() <= (0 if encoding != "mono8" else 3)
    assert len(compress(image, codec, 20)) < len(data)


def test_codec_of_mono16_is_png():
    image = encode(decode(noise("mono16")), noise("mono16"))
    assert codec_and_format(image) == ("png", "mono16; png compressed mono16")


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_decompress_cut_off_image_is_refused(suffix):
    data = cv2.imencode(suffix, np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))[1].tobytes()
    decompress(Compressed("jpeg", data + bytes(20)))  # padding, as some cameras append, is fine
    for length in (len(data) // 2, len(data) - 400):
        with pytest.raises(ValueError, match="is cut off: its end is missing"):
            decompress(Compressed("jpeg", data[:length]))
    with pytest.raises(ValueError, match="must be JPEG or PNG: got format 'webp', 3 bytes"):
        decompress(Compressed("webp", b"abc"))
