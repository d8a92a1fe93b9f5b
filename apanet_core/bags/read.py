"""Read images from ROS bags (MCAP or sqlite3), without ROS."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from apanet_core.images import encodings
from apanet_core.images.channel_order import contiguous
from apanet_core.images.codecs import decompress

IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")


class ImageBag:
    """An open bag.

    Args:
        reader: an open `rosbags.highlevel.AnyReader`.
        path: the bag as the user named it, for error messages.
    """

    def __init__(self, reader: Any, path: Path) -> None:
        self.reader = reader
        self.path = path

    def count(self, topics: list[str]) -> int:
        """Return the number of messages on `topics`."""
        return sum(c.msgcount for c in self.reader.connections if c.topic in topics)

    def check_topics(self, topics: list[str]) -> None:
        """Raise ValueError, listing the image topics of the bag, unless every topic holds images."""
        types = {c.topic: c.msgtype for c in self.reader.connections}
        for topic in topics:
            if types.get(topic) not in IMAGE_TYPES:
                what = f"is a {types[topic]}, not an image" if topic in types else "is not there"
                images = ", ".join(sorted(t for t, kind in types.items() if kind in IMAGE_TYPES)) or "none"
                raise ValueError(f"topic {topic} {what}; image topics of {self.path}: {images}")
            if not self.count([topic]):
                raise ValueError(f"topic {topic} of {self.path} holds no messages")

    def messages(
        self, topics: list[str] | None = None, start: int | None = None, stop: int | None = None
    ) -> Iterator[tuple[Any, int, bytes]]:
        """Read messages.

        Args:
            topics: topics to read; None: all.
            start: first time in the log, ns; None: from the start of the recording.
            stop: end of the times in the log, ns, exclusive; None: to the end of the recording.

        Yields:
            Connection, time in the log in ns, and bytes.

        Raises:
            ValueError: the recording is damaged.
        """
        wanted = [c for c in self.reader.connections if topics is None or c.topic in topics]
        try:
            yield from self.reader.messages(wanted, start, stop)
        except (MemoryError, OSError):
            raise
        except Exception as error:  # errors of rosbags, its storages and its decompressors
            if "not in timestamp order" in str(error):
                raise ValueError(
                    f"{self.path} has no index, and its messages are not in the order of time: write an index with "
                    "`mcap recover`"
                ) from error
            raise ValueError(f"{self.path} is damaged: {error or type(error).__name__}") from error

    def images(self, topics: list[str]) -> Iterator[tuple[str, int, Any]]:
        """Yield topic, header stamp in ns, and message in the order of the recording; `decode` reads the message."""
        for connection, _, data in self.messages(topics):
            try:
                message = self.reader.deserialize(data, connection.msgtype)
            except Exception as error:  # rosbags raises many types
                raise ValueError(f"a message on {connection.topic} of {self.path} is damaged: {error}") from error
            stamp = message.header.stamp
            yield connection.topic, stamp.sec * 10**9 + stamp.nanosec, message


def bag_root(path: Path) -> Path:
    """Return the folder of the recording that the file `path` belongs to; `path` itself if it is the whole one."""
    return path.parent if path.is_file() and (path.parent / "metadata.yaml").is_file() else path


def check_distinct(bags: list[Path]) -> None:
    """Raise ValueError if a recording is named twice, by its folder or by its files."""
    if len({bag_root(bag).resolve() for bag in bags}) < len(bags):
        raise ValueError(
            f"every bag can be named once, by its folder or one of its files: got {', '.join(map(str, bags))}"
        )


@contextmanager
def open_bag(path: Path) -> Iterator[ImageBag]:
    """Open a recording.

    Args:
        path: folder of the bag, or one of its files.

    Yields:
        The bag; the context closes it.

    Raises:
        FileNotFoundError: `path` or its metadata.yaml does not exist.
        ValueError: the bag cannot be read.
        ImportError: rosbags is not installed.
    """
    from rosbags.highlevel import AnyReader
    from rosbags.typesys import Stores, get_typestore

    root = bag_root(path)
    if not path.exists():
        raise FileNotFoundError(f"no bag at {path}")
    if root.is_dir() and not (root / "metadata.yaml").is_file():
        raise FileNotFoundError(f"{root} has no metadata.yaml: name a file in it, or run `ros2 bag reindex {root}`")
    try:
        reader = AnyReader([root], default_typestore=get_typestore(Stores.ROS2_HUMBLE))
        _match_topics_when_open(reader.readers[0].storage)
        reader.open()
    except (MemoryError, OSError):
        raise
    except Exception as error:  # errors of rosbags, and any that its storages raise on a damaged file
        raise ValueError(f"{path} is not a readable bag: {_explained(error)}") from error
    try:
        yield ImageBag(reader, path)
    finally:
        reader.close()


def _explained(error: Exception) -> str:
    """Return the text of an error of rosbags, with a remedy if one is known."""
    text = str(error)
    if "end magic" in text:
        return f"it is cut off, as when its recorder was killed; try `mcap recover` ({text})"
    if found := re.search(r"Storage plugin (.*) not supported", text):
        return f"storage_identifier in metadata.yaml is {found[1]}: expected 'mcap' or 'sqlite3'"
    if found := re.search(r"Rosbag2 version (\d+)", text):
        return f"version in metadata.yaml is {found[1]}: expected 9 at most"
    if isinstance(error, KeyError):
        return f"it holds channels that are not ROS 2 messages ({text}): take the ROS topics out with `mcap filter`"
    return text


def _match_topics_when_open(storage: Any) -> None:
    """Match the topics of metadata.yaml and of the files by name and type.

    rosbags also compares QoS and type hashes, which differ after an edit or a conversion, and then silently drops the
    messages of the topic. Topics that metadata.yaml does not list are added. Message counts are those of the files.

    Args:
        storage: a storage of rosbags that is not open yet; a single file has no metadata.yaml and is left alone.
    """
    if not hasattr(storage, "storages"):
        return
    open_as_it_is = storage.open

    def open_and_match() -> None:
        open_as_it_is()
        listed = {(c.topic, c.msgtype): c for c in storage.connections}
        counts: Counter[tuple[str, str]] = Counter()
        for file in storage.storages:
            for number, stored in enumerate(file.connections):
                key = stored.topic, stored.msgtype
                if key not in listed:
                    listed[key] = stored._replace(id=1 + max((c.id for c in listed.values()), default=0), owner=storage)
                counts[key] += stored.msgcount
                file.connections[number] = stored._replace(ext=listed[key].ext, digest="")
        storage.connections[:] = [c._replace(msgcount=counts[key] or c.msgcount) for key, c in listed.items()]

    storage.open = open_and_match


def decode(message: Any) -> np.ndarray:
    """Decode an Image or CompressedImage message to (H, W, 3) uint8 RGB.

    Args:
        message: an item of `ImageBag.images`.

    Returns:
        The pixels; a grey image gets three equal channels.

    Raises:
        ValueError: the encoding is unknown, or the sizes in the message contradict each other.
    """
    return contiguous(encodings.decode(decompress(message) if hasattr(message, "format") else message))
