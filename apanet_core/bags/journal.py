"""A journal of the clean pairs of an unfinished segment, so that a resumed run does not derain them again."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

Buffer = bytes | memoryview
_HEAD = struct.Struct("<IQQI")  # number of the pair, bytes of the left and of the right message, CRC-32 of both


def journal_path(work: Path) -> Path:
    """Return the journal of the segment that is written in the folder `work`, whose name may contain dots."""
    return work.with_name(f"{work.name}.journal")


def _records(file: BinaryIO, size: int) -> Iterator[tuple[int, int, int, int, int]]:
    """Yield number, start, bytes left, bytes right and CRC of each whole record in the first `size` bytes."""
    end = 0
    while end + _HEAD.size <= size:
        file.seek(end)
        number, left, right, crc = _HEAD.unpack(file.read(_HEAD.size))
        start = end + _HEAD.size
        end = start + left + right
        if end > size:
            return
        yield number, start, left, right, crc


def pairs_in(path: Path) -> int:
    """Count the records of a journal that may be growing; 0 if it does not exist."""
    try:
        with path.open("rb") as file:
            return sum(1 for _ in _records(file, path.stat().st_size))
    except FileNotFoundError:
        return 0


class Journal:
    """An append-only file of serialized message pairs; opening it drops a truncated last record.

    Args:
        path: the journal; it is created if it does not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("a+b", buffering=0)
        self._at: dict[int, tuple[int, int, int]] = {}  # number -> offset, bytes left, bytes right
        end = 0
        for number, start, left, right, crc in _records(self._file, path.stat().st_size):
            self._file.seek(start)
            if zlib.crc32(self._file.read(left + right)) != crc:
                break
            self._at[number] = (start, left, right)
            end = start + left + right
        self._file.truncate(end)

    def __contains__(self, number: int) -> bool:
        return number in self._at

    def __len__(self) -> int:
        return len(self._at)

    def read(self, number: int) -> tuple[bytes, bytes]:
        """Return the left and right message of a pair."""
        start, left, right = self._at[number]
        self._file.seek(start)
        data = self._file.read(left + right)
        return data[:left], data[left:]

    def append(self, number: int, left: Buffer, right: Buffer) -> None:
        """Write the messages of a pair; once this returns, they survive a crash of the process."""
        head = _HEAD.pack(number, len(left), len(right), zlib.crc32(right, zlib.crc32(left)))
        written = os.writev(self._file.fileno(), (head, left, right))
        if written != len(head) + len(left) + len(right):
            raise OSError(f"{self._path}: only {written} bytes could be written; is the disk full?")

    def close(self) -> None:
        """Close the file."""
        self._file.close()
