"""What to do with a recording: which images pair, and where it can be cut into segments."""

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
MAX_LAG_NS = 5 * 10**9  # halves of a pair that were recorded further apart do not pair: they would have to be kept


class ImageRecord(NamedTuple):
    """One image of a recording: its time in the log, and its header stamp, both in ns."""

    log: int
    stamp: int


Pair = tuple[ImageRecord, ImageRecord]  # left, right


@dataclass(frozen=True)
class Segment:
    """Messages with start <= time in the log < stop (ns; None: open), and the pairs among them."""

    number: int
    start: int | None
    stop: int | None
    pairs: list[Pair]


@dataclass(frozen=True)
class Plan:
    """A recording and what to do with it.

    Attributes:
        path: of the recording.
        topics: left and right.
        segments: its pairs.
        unpaired: how many images of either side have no partner.
        not_kept: of MCAP, in words: records that the output will lack; empty when there are none.
    """

    path: Path
    topics: tuple[str, str]
    segments: list[Segment]
    unpaired: tuple[int, int]
    not_kept: str = ""

    @property
    def pairs(self) -> int:
        """Pairs of all segments."""
        return sum(len(segment.pairs) for segment in self.segments)


def make_plan(bag: ImageBag, settings: BagSettings) -> Plan:
    """Read the stamps of a recording.

    Args:
        bag: open.
        settings: topics; a name without a leading / is looked for as it is and under /.

    Returns:
        The plan.

    Raises:
        ValueError: no such topics, nothing pairs, or the names of the clean images are taken.
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
    """The topic as the recording names it."""
    names = {connection.topic for connection in bag.reader.connections}
    return f"/{topic}" if topic not in names and f"/{topic}" in names else topic


def _check_free(bag: ImageBag, *topics: str) -> None:
    """Raise ValueError where the recording holds a topic that would be added beside `topics`."""
    names = {connection.topic for connection in bag.reader.connections}
    for topic, side in zip(topics, SIDES):
        for added in (beside_topic(topic, side), beside_topic(camera_info_beside(topic), side)):
            if added in names:
                raise ValueError(
                    f"{bag.path} holds {added} already, and two sources in one topic could not be told apart: leave "
                    "--keep-original out"
                )


def beside_topic(topic: str, side: str) -> str:
    """Where the node publishes what it makes of a topic: /stereo/left/image_rect -> /stereo/derained/left/image_rect.

    Args:
        topic: of images or CameraInfo.
        side: "left" or "right".

    Returns:
        The name with derained/ before the part that names the side, or before the whole where none does.
    """
    parts = topic.strip("/").split("/")
    at = max((i for i, part in enumerate(parts) if part == side), default=0)
    return "/" + "/".join([*parts[:at], "derained", *parts[at:]])


def camera_info_beside(topic: str) -> str:
    """The CameraInfo topic that belongs to an image topic, raw or compressed, by convention."""
    return f"{topic.removesuffix('/compressed').rpartition('/')[0]}/camera_info"


def stamp_ns(data: bytes) -> int | None:
    """Header stamp of a serialized message whose first field is a header; None when it is too short."""
    if len(data) < 12:
        return None
    sec, nanosec = struct.unpack_from("<iI" if data[1] & 1 else ">iI", data, 4)
    return int(sec) * 10**9 + int(nanosec)


def pair_images(left: list[ImageRecord], right: list[ImageRecord], tolerance_ns: int) -> list[Pair]:
    """Pair images whose stamps are each other's nearest; where stamps repeat, those that were recorded together.

    Args:
        left: in the order of the recording.
        right: likewise.
        tolerance_ns: largest stamp difference.

    Returns:
        Pairs in the order in which their first image was recorded.
    """
    logs: tuple[dict[int, list[int]], ...] = (defaultdict(list), defaultdict(list))  # by stamp; simulated time may
    for side, halves in zip(logs, (left, right)):  # begin anew, and then both stamps and times in the log repeat
        for half in halves:
            side[half.stamp].append(half.log)
    pairs = [
        (ImageRecord(log_a, a), ImageRecord(log_b, b))
        for a, b in pair_stamps(sorted(logs[0]), sorted(logs[1]), tolerance_ns)
        for log_a, log_b in _pair_by_log_time(sorted(logs[0][a]), sorted(logs[1][b]))
    ]
    return sorted(pairs, key=_first)


def _pair_by_log_time(left: list[int], right: list[int]) -> list[tuple[int, int]]:
    """Pair times in the log: in their order where both views came equally often, else the nearest."""
    if len(left) == len(right) and all(abs(a - b) <= MAX_LAG_NS for a, b in zip(left, right)):
        return list(zip(left, right))
    return pair_stamps(sorted(set(left)), sorted(set(right)), MAX_LAG_NS)


def cut(pairs: list[Pair], per_segment: int) -> Iterator[Segment]:
    """Cut where no pair is torn, each segment as soon as it has `per_segment` pairs."""
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
    """The records of MCAP files that are no messages and are not copied, in words; empty when there are none."""
    found = [file.statistics for file in _files_of(bag) if getattr(file, "statistics", None)]
    attachments, metadata = (sum(getattr(s, name) for s in found) for name in ("attachement_count", "metadata_count"))
    parts = [f"{attachments} attachments" if attachments else "", f"{metadata} metadata records" if metadata else ""]
    return " and ".join(filter(None, parts))


def storage_of(bag: ImageBag) -> tuple[str, str]:
    """Storage plugin (MCAP or SQLITE3) and compression (file, message, storage or none) of a recording."""
    for inner in _files_of(bag):
        chunks = getattr(inner, "chunks", None)
        plugin = "SQLITE3" if chunks is None else "MCAP"
        packed = any(chunk.compression for chunk in chunks or ())
        return plugin, _compression(bag) or ("storage" if packed else "")
    raise ValueError(f"{bag.path} holds no files")


def _files_of(bag: ImageBag) -> list[Any]:
    """The open files of a recording, as rosbags has them."""
    storage: Any = bag.reader.readers[0].storage
    return list(getattr(storage, "storages", [storage]))
