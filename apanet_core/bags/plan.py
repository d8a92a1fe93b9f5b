"""Plan the work on a recording: pair its images and divide it into segments."""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from apanet_core.bags.cut_dataset import pair_stamps
from apanet_core.bags.read import ImageBag
from apanet_core.bags.settings import BagSettings
from apanet_core.progress import progress_bar

SIDES = ("left", "right")
MAX_LAG_NS = 5 * 10**9  # a first image waits in memory for its partner: images recorded further apart do not pair


class ImageRecord(NamedTuple):
    """One image of a recording: its time in the log and its header stamp, both in ns."""

    log: int
    stamp: int


Pair = tuple[ImageRecord, ImageRecord]  # left, right


@dataclass(frozen=True)
class Segment:
    """Messages with start <= time in the log < stop (ns; None: no limit), and the pairs among them."""

    number: int
    start: int | None
    stop: int | None
    pairs: list[Pair]


@dataclass(frozen=True)
class Plan:
    """The pairs of a recording, divided into segments.

    Attributes:
        path: the recording.
        topics: left and right image topic.
        segments: the parts, in the order of time.
        unpaired: number of left and right images without a partner.
        not_kept: MCAP records that the output will lack, in words; "" for none.
    """

    path: Path
    topics: tuple[str, str]
    segments: list[Segment]
    unpaired: tuple[int, int]
    not_kept: str = ""

    @property
    def pairs(self) -> int:
        """Return the number of pairs of all segments."""
        return sum(len(segment.pairs) for segment in self.segments)


def make_plan(bag: ImageBag, settings: BagSettings) -> Plan:
    """Pair the images of a recording by their stamps and divide it into segments.

    Args:
        bag: the recording.
        settings: topics and tolerance; a topic without a leading / may have one in the recording.

    Returns:
        The plan.

    Raises:
        ValueError: a topic is missing, no images pair, or a topic for clean images exists already.
    """
    left, right = (resolve(bag, topic) for topic in (settings.left_topic, settings.right_topic))
    bag.check_topics([left, right])
    if settings.keep_original:
        _check_free(bag, left, right)
    halves: dict[str, list[ImageRecord]] = {left: [], right: []}
    total = bag.count([left, right])
    for connection, log, data in progress_bar(
        bag.messages([left, right]), desc=f"look at {bag.path.name}", total=total, unit="image", leave=False
    ):
        stamp = stamp_ns(data)
        if stamp is not None:
            halves[connection.topic].append(ImageRecord(log, stamp))
    for topic, images in halves.items():
        if len(images) < bag.count([topic]):
            raise ValueError(
                f"{len(images)} of {bag.count([topic])} images on {topic} of {bag.path} can be read: its index is "
                "incomplete; try `mcap recover`, or `ros2 bag reindex`"
            )
    pairs = pair_images(halves[left], halves[right], round(1e9 * settings.tolerance_s))
    if not pairs:
        raise ValueError(
            f"no left and right image of {bag.path} share a stamp within {settings.tolerance_s} s: give a larger "
            "--tolerance-s if they were taken together"
        )
    counts = (bag.count([left]) - len(pairs), bag.count([right]) - len(pairs))
    per_segment = len(pairs) if _compression(bag) == "file" else settings.segment_pairs  # a file is unpacked at a time
    return Plan(bag.path, (left, right), list(cut(pairs, per_segment)), counts, not_kept(bag))


def resolve(bag: ImageBag, topic: str) -> str:
    """Return the name that the topic has in the recording."""
    names = {connection.topic for connection in bag.reader.connections}
    return f"/{topic}" if topic not in names and f"/{topic}" in names else topic


def _check_free(bag: ImageBag, *topics: str) -> None:
    """Raise ValueError if the recording already holds a topic that would be added for the clean images."""
    names = {connection.topic for connection in bag.reader.connections}
    for topic, side in zip(topics, SIDES):
        for added in (beside_topic(topic, side), beside_topic(camera_info_beside(topic), side)):
            if added in names:
                raise ValueError(
                    f"{bag.path} holds {added} already, and the clean images would be mixed with it: leave "
                    "--keep-original out"
                )


def beside_topic(topic: str, side: str) -> str:
    """Return the node's name for a clean topic: /stereo/left/image_rect -> /stereo/derained/left/image_rect.

    Args:
        topic: name of the image or CameraInfo topic.
        side: "left" or "right".

    Returns:
        The name with derained/ before its last part that equals `side`, or at the start if no part does.
    """
    parts = topic.strip("/").split("/")
    at = max((i for i, part in enumerate(parts) if part == side), default=0)
    return "/" + "/".join([*parts[:at], "derained", *parts[at:]])


def camera_info_beside(topic: str) -> str:
    """Return the usual CameraInfo topic of an image topic, raw or compressed."""
    return f"{topic.removesuffix('/compressed').rpartition('/')[0]}/camera_info"


def stamp_ns(data: bytes) -> int | None:
    """Return the header stamp of a serialized message whose first field is a header; None if it is too short."""
    if len(data) < 12:
        return None
    sec, nanosec = struct.unpack_from("<iI" if data[1] & 1 else ">iI", data, 4)
    return int(sec) * 10**9 + int(nanosec)


def pair_images(left: list[ImageRecord], right: list[ImageRecord], tolerance_ns: int) -> list[Pair]:
    """Pair images whose stamps are each other's nearest; repeated stamps pair by their times in the log.

    Args:
        left: images in the order of the recording.
        right: images in the order of the recording.
        tolerance_ns: largest stamp difference.

    Returns:
        Pairs in the order of their first images in the log.
    """
    logs: tuple[dict[int, list[int]], ...] = (defaultdict(list), defaultdict(list))  # by stamp; after a restart of
    for side, halves in zip(logs, (left, right)):  # simulated time, both stamps and times in the log repeat
        for half in halves:
            side[half.stamp].append(half.log)
    pairs = [
        (ImageRecord(log_a, a), ImageRecord(log_b, b))
        for a, b in pair_stamps(sorted(logs[0]), sorted(logs[1]), tolerance_ns)
        for log_a, log_b in _pair_by_log_time(sorted(logs[0][a]), sorted(logs[1][b]))
    ]
    return sorted(pairs, key=_first)


def _pair_by_log_time(left: list[int], right: list[int]) -> list[tuple[int, int]]:
    """Pair times in the log: one by one if both sides have equally many, all close enough; else the nearest."""
    if len(left) == len(right) and all(abs(a - b) <= MAX_LAG_NS for a, b in zip(left, right)):
        return list(zip(left, right))
    return pair_stamps(sorted(set(left)), sorted(set(right)), MAX_LAG_NS)


def cut(pairs: list[Pair], per_segment: int) -> Iterator[Segment]:
    """Yield segments of `per_segment` or a few more pairs, so that no pair spans two segments."""
    begin, start, last = 0, None, 0
    number = 0
    for index, pair in enumerate(pairs):
        if index - begin >= per_segment and _first(pair) > last:
            yield Segment(number, start, _first(pair), pairs[begin:index])
            begin, start, number = index, _first(pair), number + 1
        last = max(last, pair[0].log, pair[1].log)
    yield Segment(number, start, None, pairs[begin:])


def _first(pair: Pair) -> int:
    return min(pair[0].log, pair[1].log)


def _compression(bag: ImageBag) -> str:
    return bag.reader.readers[0].compression_mode or ""


def not_kept(bag: ImageBag) -> str:
    """Return the number of MCAP attachments and metadata records, which are not copied, in words; "" for none."""
    found = [file.statistics for file in _files_of(bag) if getattr(file, "statistics", None)]
    attachments, metadata = (sum(getattr(s, name) for s in found) for name in ("attachement_count", "metadata_count"))
    parts = [f"{attachments} attachments" if attachments else "", f"{metadata} metadata records" if metadata else ""]
    return " and ".join(filter(None, parts))


def storage_of(bag: ImageBag) -> tuple[str, str]:
    """Return storage plugin (MCAP or SQLITE3) and compression (file, message, storage or "") of a recording."""
    for inner in _files_of(bag):
        chunks = getattr(inner, "chunks", None)
        plugin = "SQLITE3" if chunks is None else "MCAP"
        packed = any(chunk.compression for chunk in chunks or ())
        return plugin, _compression(bag) or ("storage" if packed else "")
    raise ValueError(f"{bag.path} holds no files")


def _files_of(bag: ImageBag) -> list[Any]:
    """Return the open files of a recording: rosbags' storage objects."""
    storage: Any = bag.reader.readers[0].storage
    return list(getattr(storage, "storages", [storage]))
