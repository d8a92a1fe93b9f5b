"""The process around a node: start, signals, and a clean end from every state."""

from __future__ import annotations

import ctypes
import itertools
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.logging import (
    LoggingSeverity,
    get_logger_effective_level,
    get_logger_level,
    set_logger_level,
)
from rclpy.signals import SignalHandlerOptions

from apanet_ros.parameter_file import parameters_of
from apanet_ros.transport import prefer_large_shared_memory

try:
    from rclpy.experimental import EventsExecutor as Executor  # a millisecond less per pair; ROS 2 Kilted and newer
except ImportError:
    from rclpy.executors import SingleThreadedExecutor as Executor

SHUTDOWN_TIMEOUT_S = 1.2  # whatever hangs on the way out
MAX_CONSECUTIVE_FAILURES = 100  # of rclpy; after so many nothing will come right any more

# glibc's numbers for mallopt, and sizes under which images stay on the heap
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGEST_ON_HEAP, LARGEST_FREE_TOP = 32 << 20, 256 << 20


def keep_freed_memory() -> None:
    """Let freed image buffers stay with this process, in place of going back to the system with every frame.

    A megabyte that comes fresh from the system costs 256 page faults, and a frame of 1920x1080 takes several buffers of
    6 MB: more time than everything else that the node does beside the network. Without glibc nothing changes.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    mallopt(M_MMAP_THRESHOLD, LARGEST_ON_HEAP)
    mallopt(M_TRIM_THRESHOLD, LARGEST_FREE_TOP)


def run(make_node: Callable[[], Any], args: list[str] | None = None) -> int:
    """Run a node until it is told to stop; the process is to end then, and does so within `SHUTDOWN_TIMEOUT_S`.

    Args:
        make_node: builds the node; it has `autostart()`, `on_shutdown(state)`, `callback_failed(name, error)` and
            `stopping`, which is set to tell it.
        args: command line, ROS arguments included; that of the process when None.

    Returns:
        0 after a clean end, 1 when the node could not start or rclpy fails for good.
    """

    stop = threading.Event()

    def end(signal_number: int, frame: object) -> None:
        stop.set()

    # rclpy's own handlers would take the context from under a running callback, which then fails at random.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    node: Any = None
    executor: Any = None
    code = 0
    try:
        keep_freed_memory()
        prefer_large_shared_memory()
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
        quieten_rcl()
        node = make_node()
        node.stopping = stop.is_set
        warn_of_foreign_files(node, sys.argv if args is None else args)
        executor = Executor()
        executor.add_node(node)
        if not node.autostart() and not stop.is_set():
            code = 1
        if code == 0:
            spin(executor, node, stop)
    except ExternalShutdownException:
        pass
    except Exception as error:  # noqa: BLE001 (wrong ROS arguments come in many types)
        if not stop.is_set():
            print(f"derain_node: error: {' '.join(str(error).split())}", file=sys.stderr)
            code = 1
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # nothing is left that a second Ctrl-C could do
        latest = threading.Timer(SHUTDOWN_TIMEOUT_S, exit_immediately, (code,))
        latest.daemon = True
        latest.start()
        if node is not None:
            node.on_shutdown(None)
        if executor is not None:
            executor.shutdown()  # before the node: it lets go of what it listens to, which must be there for that
            executor = None  # it may hold the node's handle too
        if node is not None:
            node.destroy_node()
            vars(node).clear()  # a thread that hangs may hold the node, and in it what keeps the DDS participant
        rclpy.try_shutdown()
    if set(threading.enumerate()) - {threading.main_thread(), latest}:
        exit_immediately(code)
    return code


def quieten_rcl() -> None:
    """Keep rcl's own messages, hundreds a second, out of --log-level debug; rcl:=debug still asks for them."""
    if get_logger_level("rcl") == LoggingSeverity.UNSET and get_logger_effective_level("rcl") == LoggingSeverity.DEBUG:
        set_logger_level("rcl", LoggingSeverity.INFO)


def warn_of_foreign_files(node: Any, args: list[str]) -> None:
    """Log every parameter file that says nothing of this node: ROS takes such a file without a word."""
    name = node.get_fully_qualified_name()
    for option, path in itertools.pairwise(args):
        if option == "--params-file" and not parameters_of(name, Path(path)):
            node.get_logger().warning(f"{path} holds no parameters for {name}: name it {name} or /** in the file")


def spin(executor: Any, node: Any, stop: threading.Event) -> None:
    """Serve the node until `stop` is set, whatever rclpy itself raises, such as on a request that nobody can read."""
    failures = 0
    while not stop.is_set():
        try:
            executor.spin_once(timeout_sec=0.2)
            failures = 0
        except ExternalShutdownException:
            raise
        except Exception as error:
            failures += 1
            if failures == MAX_CONSECUTIVE_FAILURES:
                raise
            if not stop.is_set():
                node.callback_failed("rclpy", error)


def exit_immediately(code: int) -> None:
    """End the process at once: a thread in native code, at a pair or loading, must not meet the interpreter's end."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
