"""Image files from users and drivers."""

import os
import struct
import zlib

import cv2
import numpy as np
import pytest

from apanet_core.images import codecs
from apanet_core.images.files import find_images, list_images, read_image, write_image


@pytest.fixture
def picture():
    """(180, 320, 3) uint8 RGB."""
    small = np.random.default_rng(0).integers(0, 256, (60, 100, 3), dtype=np.uint8)
    return cv2.resize(small, (320, 180), interpolation=cv2.INTER_CUBIC)


def jpeg_of(picture):
    return cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def png_chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def test_image_file_name_not_utf_8_is_read_and_written(tmp_path, picture):
    path = tmp_path / os.fsdecode(b"\xe9_01.png")
    write_image(path, picture)
    assert list_images(tmp_path) == [path]
    np.testing.assert_array_equal(read_image(path), picture)


def test_write_image_name_of_255_bytes_is_written(tmp_path, picture):
    write_image(tmp_path / f"{'n' * 251}.png", picture)
    assert len(list_images(tmp_path)) == 1


@pytest.mark.parametrize("padding", [1, 300, 100_000])
def test_decode_file_jpeg_with_trailing_zeros_is_accepted(picture, padding):
    data = jpeg_of(picture)
    np.testing.assert_array_equal(codecs.decode_file(data + bytes(padding)), codecs.decode_file(data))


def test_decode_file_jpeg_matches_opencv(picture):
    for image in (picture, picture[..., 0], picture[:77, :33]):
        data = cv2.imencode(".jpg", image)[1].tobytes()
        expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(codecs.decode_file(data).reshape(expected.shape), expected)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) * 6 // 10],
        lambda data: data[: len(data) // 2] + bytes(len(data) // 8) + data[len(data) * 5 // 8 :],
        lambda data: (
            data[: len(data) // 2] + np.random.default_rng(1).bytes(len(data) // 8) + data[len(data) * 5 // 8 :]
        ),
        lambda data: data[: len(data) // 2] + data[-20:],
        lambda data: b"no image at all",
        lambda data: b"",
    ],
)
def test_read_image_damaged_file_is_refused(tmp_path, picture, suffix, damage):
    path = tmp_path / f"one{suffix}"
    write_image(path, picture)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=f"one{suffix} is not a readable image"):
        read_image(path)


def test_read_image_png_beyond_opencv_limit_is_refused(tmp_path):
    header = struct.pack(">IIBBBBB", 40000, 40000, 1, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(20004))
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        png_chunk(kind, content) for kind, content in ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    )
    (tmp_path / "huge.png").write_bytes(data)
    with pytest.raises(ValueError, match="huge.png .*40000x40000 px"):
        read_image(tmp_path / "huge.png")


def test_read_image_ignores_exif_orientation(tmp_path, picture):
    tiff = b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x112, 3, 1, 6, 0, 0)  # orientation 6: turn by 90 degrees
    exif = b"Exif\0\0" + tiff
    data = jpeg_of(picture)
    (tmp_path / "turned.jpg").write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:])
    assert read_image(tmp_path / "turned.jpg").shape == picture.shape


def test_read_image_16_bit_alpha_and_grey_become_8_bit_rgb(tmp_path, picture):
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    cv2.imwrite(str(tmp_path / "deep.png"), bgr.astype(np.uint16) * 256 + 255)
    cv2.imwrite(str(tmp_path / "alpha.png"), np.dstack([bgr, np.zeros(bgr.shape[:2], np.uint8)]))
    cv2.imwrite(str(tmp_path / "grey.pgm"), picture[..., 0])
    for name in ("deep", "alpha"):
        np.testing.assert_array_equal(read_image(tmp_path / f"{name}.png"), picture)
    np.testing.assert_array_equal(read_image(tmp_path / "grey.pgm"), picture[..., :1].repeat(3, axis=2))


def test_find_images_follows_links_once_and_skips_hidden_files(tmp_path):
    for name in ("own/1.png", "own/._1.png", "own/.ipynb_checkpoints/1-checkpoint.png", "elsewhere/2.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "own/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/back").symlink_to(tmp_path / "own")
    assert find_images(tmp_path / "own") == [tmp_path / "own/1.png", tmp_path / "own/linked/2.png"]
