"""The folder in which an output grows until it is complete."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def partial_path(out: Path) -> Path:
    """Return the folder of an unfinished run, next to `out`."""
    return out.with_name(f".{out.name}.partial")


def has_progress(folder: Path) -> bool:
    """Return whether an unfinished run left clean pairs in the folder."""
    journals = folder.glob("work/*.journal")
    return any(folder.glob("done_*.json")) or any(journal.stat().st_size for journal in journals)


@contextmanager
def locked(folders: list[Path]) -> Iterator[None]:
    """Make and lock the folders; at the end, delete those without clean pairs."""
    files = []
    try:
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
            file = (folder / "lock").open("w")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                files.append(file)
            except OSError as error:
                file.close()
                raise FileExistsError(
                    f"another run is at work in {folder}: wait for it, or choose another out"
                ) from error
        yield
    finally:
        for file in files:
            folder = Path(file.name).parent
            if folder.exists() and not has_progress(folder):
                shutil.rmtree(folder)
            file.close()


@contextmanager
def waiting_for_others(path: Path) -> Iterator[None]:
    """Hold the lock file `path`, made if it is missing; wait while another process holds it."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def file_fingerprints(path: Path) -> list[tuple[str, int, int]]:
    """Return names, sizes and modification times (ns) of a recording's files, to recognise it later."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.is_file()]
