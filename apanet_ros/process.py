"""The process around a node: start, signals, and a clean end from every state."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

from apanet_ros.transport import prefer_large_shared_memory
from apanet_ros.worker import WORKER_NAME


def run(make_node: Callable[[], Any], args: list[str] | None = None) -> int:
    """Run a node until it is told to stop.

    Args:
        make_node: builds the node; it has `autostart()` and `on_shutdown(state)`.
        args: command line, ROS arguments included; that of the process when None.

    Returns:
        0 after a clean end, 1 when the node could not start.
    """

    stop, spinning = threading.Event(), threading.Event()

    def end(signal_number: int, frame: object) -> None:
        stop.set()
        if not spinning.is_set():
            raise KeyboardInterrupt  # the model is loading; inside a callback it would surface as any error

    # rclpy's own handlers would take the context from under a running callback, which then fails at random.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    node: Any = None
    code = 0
    try:
        prefer_large_shared_memory()
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
        node = make_node()
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        if not node.autostart() and not stop.is_set():
            code = 1
        spinning.set()
        while code == 0 and not stop.is_set():
            executor.spin_once(timeout_sec=0.2)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except Exception as error:  # noqa: BLE001 (wrong ROS arguments come in many types)
        if not stop.is_set():
            print(f"derain_node: error: {' '.join(str(error).split())}", file=sys.stderr)
            code = 1
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not interrupt the clean end
        if node is not None:
            node.on_shutdown(None)
            node.destroy_node()
        rclpy.try_shutdown()
    if any(thread.name == WORKER_NAME and thread.is_alive() for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # a pair that takes long is still in native code, which must not meet the interpreter's end
    return code
