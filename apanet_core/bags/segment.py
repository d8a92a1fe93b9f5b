"""Read, derain and write one segment of a recording in three parallel stages."""

from __future__ import annotations

import dataclasses
import shutil
from collections import defaultdict, deque
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from apanet_core.bags.journal import Buffer, Journal, journal_path
from apanet_core.bags.output import SegmentWriter
from apanet_core.bags.plan import Plan, Segment, stamp_ns
from apanet_core.bags.prefetch import prefetch
from apanet_core.bags.read import open_bag
from apanet_core.bags.settings import BagSettings
from apanet_core.derainer import WarmDerainer
from apanet_core.images import codecs, encodings
from apanet_core.images.sizes import check_pair

Views = tuple[np.ndarray, np.ndarray]


class Record(NamedTuple):
    """A serialized message of the recording, with the id of its connection and its time in the log (ns)."""

    connection: int
    log: int
    data: bytes


@dataclasses.dataclass
class PairJob:
    """A pair on its way through the stages: read, decode (or take from the journal), derain, write.

    Attributes:
        number: index of the pair in its segment.
        records: left and right message, serialized.
        messages: left and right message, deserialized.
        images: left and right Image message; a CompressedImage is decompressed.
        views: (H, W, 3) uint8 RGB each: rainy, later clean.
        written: serialized clean messages, left and right, if the journal holds them.
        problem: why the pair is copied unchanged; "" if it is derained.
    """

    number: int
    records: list[Record | None]
    messages: list[Any] = dataclasses.field(default_factory=list)
    images: list[Any] = dataclasses.field(default_factory=list)
    views: Views | None = None
    written: tuple[Buffer, Buffer] | None = None
    problem: str = ""

    @property
    def size(self) -> int:
        """Return the bytes that the job holds."""
        views = sum(view.nbytes for view in self.views) if self.views else 0
        unpacked = sum(image.data.nbytes for image, m in zip(self.images, self.messages) if image is not m)
        return views + unpacked + sum(len(record.data) for record in self.records if record)


class Slot(NamedTuple):
    """The position of one image of a pair among the messages; `first` marks the earlier image of the pair."""

    job: PairJob
    side: int
    first: bool


Item = Record | Slot


@dataclasses.dataclass
class SegmentResult:
    """Counts of pairs derained and copied unchanged, the first problem, and the content of metadata.yaml."""

    derained: int = 0
    failed: int = 0
    problem: str = ""
    metadata: dict[str, Any] = dataclasses.field(default_factory=dict)


def derain_segment(
    plan: Plan,
    segment: Segment,
    work: Path,
    settings: BagSettings,
    derainer: WarmDerainer,
) -> SegmentResult:
    """Write a segment of the output as the only file in the folder `work`, with its journal next to the folder.

    Args:
        plan: path and topics of the recording.
        segment: the segment to write.
        work: folder to make; an existing one is deleted first.
        settings: JPEG quality, and whether to keep the rainy images.
        derainer: the network, which is warmed up on the first pair.

    Returns:
        Counts, first problem and metadata.
    """
    shutil.rmtree(work, ignore_errors=True)
    result = SegmentResult()
    journal = Journal(journal_path(work))
    try:
        with open_bag(plan.path) as bag:
            types = bag.reader.typestore
            names = {connection.id: connection.msgtype for connection in bag.reader.connections}
            writer = SegmentWriter(work, bag, plan, settings.keep_original)
            try:
                jobs = _derain(_read(plan, segment, journal), derainer)
                with closing(prefetch(jobs, _size)) as ready:
                    for item in ready:
                        if isinstance(item, Record):
                            writer.copy(*item)
                            continue
                        if item.first:
                            _serialize(item.job, journal, types, names, settings)
                        _write(item, writer, settings)
                        if not item.first:
                            result.derained += not item.job.problem
                            result.failed += bool(item.job.problem)
                            result.problem = result.problem or item.job.problem
                result.metadata = writer.close()
            except BaseException:
                writer.abort()
                raise
    finally:
        journal.close()
    return result


def _size(item: Item) -> int:
    return len(item.data) if isinstance(item, Record) else item.job.size * item.first


def _read(plan: Plan, segment: Segment, journal: Journal) -> Generator[Item, None, None]:
    """Yield messages in order; those after an image wait until its partner is read. Runs in the reader thread."""
    partners: dict[tuple[int, int, int], deque[int]] = defaultdict(deque)  # equal keys pair in order
    for number, pair in enumerate(segment.pairs):
        for view, half in enumerate(pair):
            partners[view, half.log, half.stamp].append(number)
    incomplete: dict[int, PairJob] = {}
    backlog: deque[Item] = deque()
    with open_bag(plan.path) as bag:
        sides = {c.id: plan.topics.index(c.topic) for c in bag.reader.connections if c.topic in plan.topics}
        names = {c.id: c.msgtype for c in bag.reader.connections}
        for connection, log, data in bag.messages(start=segment.start, stop=segment.stop):
            record = Record(connection.id, log, data)
            side = sides.get(connection.id)
            stamp = None if side is None else stamp_ns(data)
            if side is None or stamp is None or not (numbers := partners.get((side, log, stamp))):
                backlog.append(record)
            elif (number := numbers.popleft()) not in incomplete:
                incomplete[number] = job = PairJob(number, [None, None])
                job.records[side] = record
                backlog.append(Slot(job, side, True))
            else:
                job = incomplete.pop(number)
                job.records[side] = record
                if number in journal:
                    job.written = journal.read(number)
                else:
                    _decode(job, bag.reader, names)
                backlog.append(Slot(job, side, False))
            while backlog and (isinstance(backlog[0], Record) or None not in backlog[0].job.records):
                yield backlog.popleft()
    if backlog or any(partners.values()):
        raise ValueError(f"{plan.path} has changed since its images were paired: start again")


def _decode(job: PairJob, reader: Any, names: dict[int, str]) -> None:
    from rosbags.highlevel import AnyReaderError

    try:
        job.messages = [reader.deserialize(record.data, names[record.connection]) for record in job.records if record]
        job.images = [codecs.decompress(m) if hasattr(m, "format") else m for m in job.messages]
        left, right = (encodings.decode(image) for image in job.images)
        check_pair(left, right)
        job.views = left, right
    except (ValueError, AnyReaderError) as error:
        job.problem = " ".join(str(error).split()) or type(error).__name__


def _derain(items: Generator[Item, None, None], derainer: WarmDerainer) -> Generator[Item, None, None]:
    """Yield the items, with the network run on each pair. Runs in the network thread."""
    with closing(prefetch(items, _size)) as ready:
        for item in ready:
            if isinstance(item, Slot) and item.first and item.job.views is not None:
                item.job.views = derainer(*item.job.views)
            yield item


def _serialize(job: PairJob, journal: Journal, types: Any, names: dict[int, str], settings: BagSettings) -> None:
    """Serialize the clean messages, unless the journal holds them."""
    if job.written is not None or job.views is None:
        return
    left, right = (
        types.serialize_cdr(_clean(message, encodings.encode(view, image), settings), names[record.connection])
        for message, image, view, record in zip(job.messages, job.images, job.views, job.records)
        if record
    )
    journal.append(job.number, left, right)
    job.written = left, right


def _write(slot: Slot, writer: SegmentWriter, settings: BagSettings) -> None:
    record, written = slot.job.records[slot.side], slot.job.written
    assert record is not None
    if settings.keep_original or written is None:
        writer.copy(*record)
    if written is not None:
        writer.write_clean(record.connection, record.log, written[slot.side])


def _clean(message: Any, image: encodings.RawImage, settings: BagSettings) -> Any:
    """Return a copy of `message` with this image, in the codec of `message`."""
    if hasattr(message, "format"):
        data = codecs.compress(image, codecs.codec_of(message), settings.jpeg_quality)
        return dataclasses.replace(message, data=np.frombuffer(data, np.uint8))
    return dataclasses.replace(
        message, encoding=image.encoding, step=image.step, data=image.data.reshape(-1).view("u1")
    )
