"""Files that are never seen half written."""

from __future__ import annotations

import os
import tempfile
import zlib
from pathlib import Path


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file under a temporary name and rename it; a failure leaves nothing."""
    partial = path.with_name(f".{os.getpid()}.{zlib.crc32(os.fsencode(path.name)):08x}")  # short, however long the name
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def check_can_be_made(folder: Path) -> None:
    """Raise OSError unless a file can be written into `folder`, or `folder` can be made; call it before long work."""
    above = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not above.is_dir():
        raise NotADirectoryError(f"{folder} cannot be a folder: {above} is a file; choose another")
    try:
        Path(tempfile.mkdtemp(prefix=".", dir=above)).rmdir()
    except OSError as error:
        raise OSError(f"cannot write into {above}: {error.strerror or error}; choose another folder") from error


def write_text(path: Path, text: str) -> None:
    """Write a text file as `write_bytes` does, in UTF-8; bytes of file names that are no text become escapes."""
    write_bytes(path, text.encode(errors="backslashreplace"))
