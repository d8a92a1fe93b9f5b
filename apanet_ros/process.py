"""Run a node in a process: start, signals, and a clean end from every state."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.logging import LoggingSeverity, get_logger_effective_level, set_logger_level
from rclpy.signals import SignalHandlerOptions

from apanet_core.freed_memory import keep_freed_memory
from apanet_ros.parameter_file import parameters_of
from apanet_ros.transport import prefer_large_shared_memory

SHUTDOWN_TIMEOUT_S = 1.2  # after which the process exits even if a thread hangs
MAX_CONSECUTIVE_FAILURES = 100  # rclpy errors in a row after which the process exits with 1


def run(make_node: Callable[[], Any], args: list[str] | None = None) -> int:
    """Run a node until SIGINT, SIGTERM or a shutdown of the ROS context, then shut down within `SHUTDOWN_TIMEOUT_S`.

    Args:
        make_node: builds the node, which has `autostart()`, `on_shutdown(state)`, `callback_failed(name, error)` and
            the attribute `stopping`. This function sets `stopping` to a callable that returns True during shutdown.
        args: command line with ROS arguments; `sys.argv` if None.

    Returns:
        Exit code: 0 after a clean end, 1 if the node could not start or rclpy fails `MAX_CONSECUTIVE_FAILURES` times.
    """

    stop = threading.Event()

    def end(signal_number: int, frame: object) -> None:
        stop.set()

    # rclpy's handlers would shut down the context during a callback, which then fails at random.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    node: Any = None
    executor: Any = None
    code = 0
    try:
        keep_freed_memory()
        prefer_large_shared_memory()
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
        quieten_rcl(sys.argv if args is None else args)
        node = make_node()
        node.stopping = stop.is_set
        log_warnings(node.get_logger())
        warn_of_foreign_files(node, sys.argv if args is None else args)
        executor = SingleThreadedExecutor()
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
            signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not interrupt the shutdown
        latest = threading.Timer(SHUTDOWN_TIMEOUT_S, exit_immediately, (code,))
        latest.daemon = True
        latest.start()
        if node is not None:
            node.on_shutdown(None)
        if executor is not None:
            executor.shutdown()  # before the node, since it releases entities of the node
            executor = None  # it may also hold the node's handle
        if node is not None:
            node.destroy_node()
            vars(node).clear()  # a hung thread may hold the node, whose attributes keep the DDS participant
        rclpy.try_shutdown()
    if set(threading.enumerate()) - {threading.main_thread(), latest}:
        exit_immediately(code)
    return code


def quieten_rcl(args: list[str]) -> None:
    """Keep rcl's messages, hundreds per second, out of --log-level debug; --log-level rcl:=debug enables them."""
    asked_for = any(word.startswith("rcl:=") for word in args)
    if not asked_for and get_logger_effective_level("rcl") == LoggingSeverity.DEBUG:
        set_logger_level("rcl", LoggingSeverity.INFO)


def log_warnings(logger: Any) -> None:
    """Send warnings of libraries and of the network, such as of a failed graph capture, to the node's log."""
    warnings.showwarning = lambda message, *_, **__: logger.warning(" ".join(str(message).split()))


def warn_of_foreign_files(node: Any, args: list[str]) -> None:
    """Log a warning for every parameter file without parameters for this node; ROS ignores such a file silently."""
    name = node.get_fully_qualified_name()
    for option, path in itertools.pairwise(args):
        if option == "--params-file" and not parameters_of(name, Path(path)):
            node.get_logger().warning(f"{path} has no section for {name}: add one called {name} or /**")


def spin(executor: Any, node: Any, stop: threading.Event) -> None:
    """Run the executor until `stop` is set; report exceptions of rclpy, such as for an unreadable request."""
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
    """End the process without interpreter shutdown, which a thread in native code (inference, loading) may crash."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
