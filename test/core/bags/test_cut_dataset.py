import json

import cv2
import numpy as np
import pytest

from apanet_core.bags.cut_dataset import CutSettings, cut_dataset, pair_stamps, split_clips, validation_clips
from apanet_core.commands.main import main
from apanet_core.data.layouts import find_unpaired

rosbag2 = pytest.importorskip("rosbags.rosbag2", reason="needs rosbags")
from rosbags.typesys import Stores, get_typestore  # noqa: E402

TYPES = get_typestore(Stores.ROS2_HUMBLE)
IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
LEFT, RIGHT = "/cam/left", "/cam/right"
SETTINGS = CutSettings(LEFT, RIGHT)
MS = 1_000_000
START = 1_700_000_000 * 1000 * MS


def header(stamp):
    time = TYPES.types["builtin_interfaces/msg/Time"](sec=stamp // 10**9, nanosec=stamp % 10**9)
    return TYPES.types["std_msgs/msg/Header"](stamp=time, frame_id="camera")


def image(view, stamp, encoding="rgb8", padding=0):
    code = {"rgb8": None, "bgr8": cv2.COLOR_RGB2BGR, "bgra8": cv2.COLOR_RGB2BGRA, "mono8": cv2.COLOR_RGB2GRAY}[encoding]
    pixels = (view if code is None else cv2.cvtColor(view, code)).reshape(view.shape[0], -1)
    rows = np.pad(pixels, ((0, 0), (0, padding)), constant_values=99)
    return TYPES.types[IMAGE](
        header=header(stamp),
        height=view.shape[0],
        width=view.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=rows.shape[1],
        data=rows.reshape(-1),
    )


def compressed(view, stamp):
    data = cv2.imencode(".png", cv2.cvtColor(view, cv2.COLOR_RGB2BGR))[1].reshape(-1)
    return TYPES.types[COMPRESSED](header=header(stamp), format="rgb8; png compressed bgr8", data=data)


def write_bag(path, messages, plugin="MCAP"):
    """Messages are (topic, stamp in ns, message)."""
    with rosbag2.Writer(path, version=9, storage_plugin=rosbag2.StoragePlugin[plugin]) as writer:
        connections = {}
        for topic, stamp, message in messages:
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, message.__msgtype__, typestore=TYPES)
            writer.write(connections[topic], stamp, TYPES.serialize_cdr(message, message.__msgtype__))
    return path


def view(position, blurred=False):
    """A texture that moves with `position`: (48, 80, 3) uint8 RGB."""
    wide = np.random.default_rng(7).integers(0, 256, (12, 400, 3), dtype=np.uint8)
    wide = cv2.resize(wide, (1600, 48), interpolation=cv2.INTER_NEAREST)[:, 6 * position : 6 * position + 80]
    return cv2.GaussianBlur(wide, (0, 0), 6) if blurred else np.ascontiguousarray(wide)


def pairs(stamps_ms, positions=None, blurred=(), make=image, lag_ms=0, **more):
    for index, ms in enumerate(stamps_ms):
        picture = view(index if positions is None else positions[index], index in blurred)
        yield LEFT, START + ms * MS, make(picture, START + ms * MS, **more)
        stamp = START + (ms + lag_ms) * MS
        yield RIGHT, stamp, make(picture[:, ::-1].copy(), stamp, **more)


def names(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*.png"))


@pytest.mark.parametrize("plugin", ["MCAP", "SQLITE3"])
def test_cut_dataset_cuts_clips_at_pauses_and_splits_whole_clips(tmp_path, plugin):
    stamps = [100 * i for i in range(6)] + [5000 + 100 * i for i in range(4)]
    content = cut_dataset([write_bag(tmp_path / "bag", pairs(stamps), plugin)], tmp_path / "out", SETTINGS)
    assert (content["pairs"], content["kept"]) == (10, 10)
    assert [(clip["split"], clip["kept"]) for clip in content["clips"]] == [("train", 6), ("val", 4)]
    assert json.loads((tmp_path / "out/dataset.json").read_text()) == content
    assert [p.name for p, _ in find_unpaired(tmp_path / "out")] == [f"000_{i:05}.png" for i in range(6)]
    for number, (left, right) in enumerate(find_unpaired(tmp_path / "out", "val")):
        for path, expected in ((left, view(6 + number)), (right, view(6 + number)[:, ::-1])):
            np.testing.assert_array_equal(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB), expected)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bag", "out"]


def test_cut_dataset_drops_blurred_and_duplicate_frames(tmp_path):
    positions = [0, 1, 2, 3, 3, 3, 4, 5, 6]
    bag = write_bag(tmp_path / "bag", pairs(range(0, 900, 100), positions, blurred=(1, 7)))
    content = cut_dataset([bag], tmp_path / "out", SETTINGS)
    assert content["dropped"] == {
        "blurred": 2,
        "duplicates": 2,
        "left images without right": 0,
        "right images without left": 0,
        "images with the stamp of an earlier one": 0,
    }
    kept = [cv2.imread(str(left))[..., ::-1] for left, _ in find_unpaired(tmp_path / "out")]
    np.testing.assert_array_equal(kept, [view(position) for position in (0, 2, 3, 4, 6)])
    every = cut_dataset([bag], tmp_path / "every", CutSettings(LEFT, RIGHT, blur_below=0, duplicate_below=0))
    assert every["kept"] == 9


@pytest.mark.parametrize(
    "how", [{"encoding": "bgr8", "padding": 5}, {"encoding": "bgra8"}, {"encoding": "mono8"}, {"make": compressed}]
)
def test_cut_dataset_decodes_every_encoding(tmp_path, how):
    bag = write_bag(tmp_path / "bag", pairs([0, 100], **how))
    cut_dataset([bag], tmp_path / "out", SETTINGS)
    left, _ = find_unpaired(tmp_path / "out")[1]
    expected = view(1)
    if how.get("encoding") == "mono8":
        expected = cv2.cvtColor(cv2.cvtColor(expected, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    np.testing.assert_array_equal(cv2.imread(str(left))[..., ::-1], expected)


def test_cut_dataset_two_bags_give_separate_clips(tmp_path, capsys):
    first, second = (write_bag(tmp_path / name, pairs([start, start + 100])) for name, start in (("a", 0), ("b", 200)))
    arguments = ["cut-dataset", str(first), str(second), "--out", str(tmp_path / "out")]
    assert main([*arguments, "--left-topic", LEFT, "--right-topic", RIGHT]) == 0
    assert "4 of 4 pairs kept in 2 clips" in capsys.readouterr().out
    assert names(tmp_path / "out") == [
        f"{split}/{side}/{clip}_{frame:05}.png"
        for split, clip in (("train", "000"), ("val", "001"))
        for side in ("left", "right")
        for frame in range(2)
    ]


def test_cut_dataset_pairs_nearest_stamps_within_tolerance(tmp_path):
    bag = write_bag(tmp_path / "bag", pairs([0, 100, 200], lag_ms=4))
    with pytest.raises(ValueError, match=r"within 0.0 s: the nearest differ by 0.0040 s; give a larger --tolerance_s"):
        cut_dataset([bag], tmp_path / "out", SETTINGS)
    assert cut_dataset([bag], tmp_path / "out", CutSettings(LEFT, RIGHT, tolerance_s=0.005))["pairs"] == 3


def test_pair_stamps_uses_each_stamp_once():
    assert pair_stamps([0, 10, 20], [1, 11, 21], 1) == [(0, 1), (10, 11), (20, 21)]
    assert pair_stamps([0, 10], [4, 6], 5) == [(0, 4), (10, 6)]
    assert pair_stamps([4, 6], [5], 5) == [(4, 5)]
    assert pair_stamps([0, 10, 20], [10], 0) == [(10, 10)]
    assert pair_stamps([], [1], 9) == []


def test_long_clips_are_cut_and_validation_gets_whole_clips():
    stamps = [int(i * 1e9) for i in range(25)]
    settings = CutSettings(LEFT, RIGHT, clip_s=10, gap_s=2)
    assert [(s.start, s.stop) for s in split_clips(stamps, settings)] == [(0, 10), (10, 20), (20, 25)]
    assert validation_clips(1, 0.1) == set()
    assert validation_clips(2, 0.1) == {1}
    assert validation_clips(40, 0.1) == {5, 15, 25, 35}
    assert len(validation_clips(2, 0.9)) == 1


def test_cut_dataset_counts_images_with_repeated_stamp(tmp_path):
    again = [(topic, START, image(view(9), START)) for topic in (LEFT, RIGHT)]
    bag = write_bag(tmp_path / "bag", [*pairs([0, 40]), *again])
    content = cut_dataset([bag], tmp_path / "out", SETTINGS)
    assert content["pairs"] == 2
    assert content["dropped"]["images with the stamp of an earlier one"] == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"left_topic": "/nowhere"}, r"topic /nowhere is not there; image topics of .*: /cam/left, /cam/right"),
        ({"left_topic": RIGHT}, "must be two topics"),
        ({"clip_s": 0.0}, "clip_s and gap_s positive"),
        ({"blur_below": 1.0}, "must be in"),
    ],
)
def test_cut_dataset_bad_settings_are_refused(tmp_path, change, message):
    bag = write_bag(tmp_path / "bag", pairs([0]))
    with pytest.raises(ValueError, match=message):
        cut_dataset([bag], tmp_path / "out", CutSettings(**{"left_topic": LEFT, "right_topic": RIGHT, **change}))
    assert not (tmp_path / "out").exists()


def test_cut_dataset_unusable_paths_and_images_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no bag at"):
        cut_dataset([tmp_path / "none"], tmp_path / "out", SETTINGS)
    (tmp_path / "text.mcap").write_text("no bag")
    with pytest.raises(ValueError, match="text.mcap is not a readable bag"):
        cut_dataset([tmp_path / "text.mcap"], tmp_path / "out", SETTINGS)
    bag = write_bag(tmp_path / "bag", pairs([0]))
    with pytest.raises(ValueError, match="every bag can be named once"):
        cut_dataset([bag, bag], tmp_path / "out", SETTINGS)
    with pytest.raises(ValueError, match="every bag can be named once, by its folder or one of its files"):
        cut_dataset([bag, next(bag.glob("*.mcap"))], tmp_path / "out", SETTINGS)
    short = image(view(0), START)
    short.data = short.data[:-1]
    broken = write_bag(tmp_path / "broken", [(LEFT, START, short), *list(pairs([100]))])
    with pytest.raises(
        ValueError, match=r"broken, topic /cam/left: data holds 11519 bytes: height 48 x step 240 needs 11520"
    ):
        cut_dataset([broken], tmp_path / "out", SETTINGS)
    uneven = [(LEFT, START, image(view(0), START)), (RIGHT, START, image(view(0)[:, 2:].copy(), START))]
    with pytest.raises(ValueError, match="must have one size: got 80x48 and 78x48"):
        cut_dataset([write_bag(tmp_path / "uneven", uneven)], tmp_path / "out", SETTINGS)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").touch()
    with pytest.raises(ValueError, match="out is not empty"):
        cut_dataset([bag], tmp_path / "out", SETTINGS)
