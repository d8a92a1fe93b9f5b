"""Write bags: copy the connections of a recording, and merge the metadata.yaml of several files."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import yaml

from apanet_core.bags.plan import SIDES, Plan, beside_topic, camera_info_beside, storage_of
from apanet_core.bags.read import ImageBag

_UNKNOWN = "RIHS01_unknown"


class SegmentWriter:
    """A writer of one file of the output, with the storage, the compression and the topics of the input.

    Args:
        path: folder to make; the file in it has its name.
        bag: the recording, open.
        plan: topics and path of the recording.
        beside: write clean images to the topics of `beside_topic` instead of those of the input.
    """

    def __init__(self, path: Path, bag: ImageBag, plan: Plan, beside: bool) -> None:
        from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

        plugin, compression = storage_of(bag)
        version = _metadata_of(plan.path).get("version", 8)
        self._writer = Writer(path, version=9 if version >= 9 else 8, storage_plugin=StoragePlugin[plugin])
        if compression:
            self._writer.set_compression(CompressionMode[compression.upper()], CompressionFormat.ZSTD)
        self._writer.open()
        self._path, self._plugin, self._types = path, plugin, bag.reader.typestore
        self._connections: dict[int, Any] = {}
        self._beside: dict[int, Any] = {}
        infos = [camera_info_beside(topic) for topic in plan.topics]
        for connection in bag.reader.connections:
            self._connections[connection.id] = self._add(connection, connection.topic)
            if beside and connection.topic in (*plan.topics, *infos):
                side = (connection.topic in (plan.topics[1], infos[1])) * 1
                self._beside[connection.id] = self._add(connection, beside_topic(connection.topic, SIDES[side]))
        self._infos = {c.id for c in bag.reader.connections if c.topic in infos}

    def copy(self, connection_id: int, log: int, data: bytes) -> None:
        """Write a message unchanged; a CameraInfo also goes to the topic next to the clean image."""
        self._writer.write(self._connections[connection_id], log, data)
        if connection_id in self._infos and connection_id in self._beside:
            self._writer.write(self._beside[connection_id], log, data)

    def write_clean(self, connection_id: int, log: int, data: bytes | memoryview) -> None:
        """Write a clean image."""
        self._writer.write(self._beside.get(connection_id, self._connections[connection_id]), log, data)

    def close(self) -> dict[str, Any]:
        """Finish the file and return the content of its metadata.yaml."""
        self._writer.close()
        content: dict[str, Any] = _metadata_of(self._path)
        for topic in content["topics_with_message_count"]:
            if topic["topic_metadata"]["type_description_hash"] == _UNKNOWN:
                topic["topic_metadata"]["type_description_hash"] = ""
        if self._plugin == "SQLITE3" and content["relative_file_paths"][0].endswith(".db3"):
            with sqlite3.connect(self._path / content["relative_file_paths"][0]) as database:
                database.execute("DELETE FROM message_definitions WHERE type_description_hash = ?", (_UNKNOWN,))
                database.execute(
                    "UPDATE topics SET type_description_hash = '' WHERE type_description_hash = ?", (_UNKNOWN,)
                )
            database.close()
        return content

    def abort(self) -> None:
        """Close the file unfinished."""
        self._writer.abort()

    def _add(self, connection: Any, topic: str) -> Any:
        for known in self._writer.connections:
            if (known.topic, known.msgtype, known.ext) == (topic, connection.msgtype, connection.ext):
                return known
        definition, digest = self._definition(connection)
        return self._writer.add_connection(
            topic,
            connection.msgtype,
            msgdef=definition,
            rihs01=digest,
            serialization_format=connection.ext.serialization_format,
            offered_qos_profiles=connection.ext.offered_qos_profiles,
        )

    def _definition(self, connection: Any) -> tuple[str, str]:
        """Return message definition and type hash; old distributions record neither for custom types."""
        known = connection.msgtype in self._types.fielddefs
        definition = connection.msgdef.data
        if not definition and known:
            definition, _ = self._types.generate_msgdef(connection.msgtype, ros_version=2)
        digest = connection.digest or (self._types.hash_rihs01(connection.msgtype) if known else _UNKNOWN)
        return definition, digest


def merge_metadata(segments: list[dict[str, Any]], custom: dict[str, str], distro: str | None) -> str:
    """Return the text of the metadata.yaml of a bag whose files were written one by one.

    Args:
        segments: content of each file's metadata.yaml, in the order of time.
        custom: entries for custom_data.
        distro: the ROS distribution of the recording; None if unknown.

    Returns:
        YAML.
    """
    merged = dict(segments[0])
    files = [file for segment in segments for file in segment["files"]]
    filled = [file for file in files if file["message_count"]]
    starts = [file["starting_time"]["nanoseconds_since_epoch"] for file in filled]
    ends = [start + file["duration"]["nanoseconds"] for start, file in zip(starts, filled)]
    merged["files"] = files
    merged["relative_file_paths"] = [path for segment in segments for path in segment["relative_file_paths"]]
    merged["starting_time"] = {"nanoseconds_since_epoch": min(starts)}
    merged["duration"] = {"nanoseconds": max(ends) - min(starts)}
    merged["message_count"] = sum(segment["message_count"] for segment in segments)
    merged["topics_with_message_count"] = [
        {"topic_metadata": topics[0]["topic_metadata"], "message_count": sum(t["message_count"] for t in topics)}
        for topics in zip(*(segment["topics_with_message_count"] for segment in segments))
    ]
    merged["custom_data"] = custom
    if distro is not None:
        merged["ros_distro"] = distro
    return yaml.safe_dump({"rosbag2_bagfile_information": merged}, sort_keys=False)


def custom_data(path: Path) -> dict[str, str]:
    """Return custom_data of a bag's metadata.yaml, or {} if it is missing."""
    return dict(_metadata_of(path).get("custom_data") or {})


def ros_distro(path: Path) -> str | None:
    """Return the distribution that a bag's metadata.yaml names, or None."""
    return _metadata_of(path).get("ros_distro")


def _metadata_of(path: Path) -> dict[str, Any]:
    file = (path if path.is_dir() else path.parent) / "metadata.yaml"
    if not file.is_file():
        return {}
    return yaml.safe_load(file.read_text())["rosbag2_bagfile_information"]
