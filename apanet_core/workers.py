"""Shares work among processes of this machine or of a Dask cluster."""

from __future__ import annotations

import multiprocessing
import os
import re
import socket
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Executor, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from apanet_core.freed_memory import keep_freed_memory

Item = TypeVar("Item")
Result = TypeVar("Result")

CONNECT_S = 10  # to wait for a scheduler


@dataclass(frozen=True)
class WorkerOptions:
    """Processes that share the work.

    Args:
        workers: processes on this machine.
        scheduler: address of a Dask scheduler, as in tcp://HOST:8786, whose workers do the work instead. They need this
            package and the same folders under the same names.
    """

    workers: int = 1
    scheduler: str | None = None

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ValueError(f"workers must be at least 1: got {self.workers}")
        if self.scheduler is not None and self.workers > 1:
            raise ValueError(f"give workers or scheduler, not both: got {self.workers} and {self.scheduler}")
        if self.scheduler is not None and not re.fullmatch(r"(tcp|tls)://.+:\d+", self.scheduler):
            raise ValueError(f"scheduler must be an address such as tcp://HOST:8786: got {self.scheduler!r}")

    def check(self) -> None:
        """Raise ConnectionError if the scheduler does not answer; call it before anything is written."""
        if self.scheduler is None:
            return
        host, _, port = self.scheduler.partition("://")[2].rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), CONNECT_S).close()
        except OSError as error:
            raise ConnectionError(
                f"no Dask scheduler answers at {self.scheduler}: start one with `dask scheduler` and workers with "
                "`dask worker ADDRESS --nthreads 1`"
            ) from error

    def in_process(self, items: int) -> bool:
        """Whether this process does the work on that number of items alone."""
        return self.scheduler is None and min(self.workers, items) <= 1


def run_tasks(
    function: Callable[[Item], Result], items: Sequence[Item], options: WorkerOptions | None = None
) -> Iterator[Result]:
    """Call a function with every item.

    Args:
        function: picklable, unless this process does the work.
        items: arguments of the calls, picklable too.
        options: who calls it; this process by default.

    Yields:
        The results as they come, in any order.

    Raises:
        MemoryError: a worker was killed.
        ConnectionError: the scheduler does not answer.
    """
    options = options or WorkerOptions()
    if options.in_process(len(items)):
        yield from map(function, items)
        return
    if options.scheduler is not None:
        function = partial(_in_folder, Path.cwd(), function)
    with _executor(options, len(items)) as executor:
        for done in as_completed([executor.submit(function, item) for item in items]):
            yield done.result()


def _in_folder(folder: Path, function: Callable[[Item], Result], item: Item) -> Result:
    """Call a function in the folder of the command, so that relative paths mean the same in a worker of Dask."""
    os.chdir(folder)
    return function(item)


_one_at_a_time = threading.Lock()
_made: dict[str, Any] = {}


@contextmanager
def once_per_process(run: str, make: Callable[[], Result]) -> Iterator[Result]:
    """Make something large, such as a model, once for all tasks of a run that come to this process.

    Args:
        run: names the run; tasks of another make their own, in its place.
        make: what makes it.

    Yields:
        The result of `make`, for one task at a time: a worker of Dask may have several threads.
    """
    with _one_at_a_time:
        if run not in _made:
            _made.clear()
            _made[run] = make()
        yield _made[run]


def worker_pool(workers: int) -> ProcessPoolExecutor:
    """Start processes that do not outlive this one, however it ends; SIGKILL included.

    Args:
        workers: number of processes.

    Returns:
        The executor; the caller shuts it down.
    """
    threads = max(1, (os.cpu_count() or 1) // workers)
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start, (threads,))


def _start(threads: int) -> None:
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))  # torch reads it when it is imported
    import cv2

    cv2.setNumThreads(1)  # a worker a core is enough
    keep_freed_memory()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _executor(options: WorkerOptions, items: int) -> AbstractContextManager[Executor]:
    return _cluster(options.scheduler) if options.scheduler else _processes(min(options.workers, items))


@contextmanager
def _processes(workers: int) -> Iterator[Executor]:
    """Start worker processes on this machine; terminate them on an error."""
    others = multiprocessing.active_children()
    pool = worker_pool(workers)
    try:
        yield pool
    except BaseException as error:
        for worker in multiprocessing.active_children():
            if worker not in others:
                worker.terminate()
        if isinstance(error, BrokenProcessPool):
            raise MemoryError(
                "a worker was killed, probably out of memory: use fewer workers (finished work is kept)"
            ) from error
        raise
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _cluster(address: str) -> Iterator[Executor]:
    """Workers of a Dask cluster, which calls a function again elsewhere when a worker dies."""
    from distributed import Client
    from distributed.scheduler import KilledWorker

    try:
        client = Client(address, timeout=CONNECT_S, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise ConnectionError(f"the server at {address} is not a Dask scheduler: {error}") from error
    try:
        with client:
            yield client.get_executor(pure=False)  # type: ignore[no-untyped-call]
    except KilledWorker as error:
        raise MemoryError(f"workers were killed again and again, probably out of memory: {error}") from error
    except (CancelledError, TypeError) as error:
        if isinstance(error, TypeError) and not _is_of_lost_result(error):
            raise
        raise ConnectionError(
            f"the Dask scheduler at {address}, or a worker with results, went away: start it and this command again "
            "(finished work is kept)"
        ) from error


def _is_of_lost_result(error: TypeError) -> bool:
    """Whether Dask's executor failed to unpack a result that went with its worker: distributed/cfexecutor.py."""
    return traceback.extract_tb(error.__traceback__)[-1].filename.endswith("cfexecutor.py")
