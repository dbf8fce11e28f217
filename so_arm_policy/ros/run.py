"""From a node class to a process: start, run until a signal, end cleanly, and say how it went by the exit code."""

import os
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

import rclpy
from rclpy.logging import get_logger
from rclpy.signals import SignalHandlerOptions

from so_arm_policy.core.errors import SoArmError
from so_arm_policy.ros import signals
from so_arm_policy.ros.executor import Spinner
from so_arm_policy.ros.node import StackNode

OK, FAILED, UNUSABLE = 0, 1, 2
PARENT_VARIABLE = "SO_ARM_PARENT_PID"  # a node that `so-arm up` started ends when that is gone
WATCH_S = 0.5


class _Runner:
    """One node in its process."""

    def __init__(self) -> None:
        self.exit_code = OK

    def on_thread_error(self, error: threading.ExceptHookArgs) -> None:
        """A thread of the node died: say why and end."""
        if isinstance(error.exc_value, SoArmError):
            get_logger("so_arm_policy").fatal(str(error.exc_value))
            self.exit_code = UNUSABLE
        else:
            traceback.print_exception(error.exc_type, error.exc_value, error.exc_traceback)
            self.exit_code = FAILED
        signals.told_to_end.set()

    def wait(self) -> None:
        parent = int(os.environ.get(PARENT_VARIABLE, "0"))
        while not signals.told_to_end.wait(WATCH_S):
            if parent and os.getppid() != parent:
                return

    def run(self, make: Callable[[], StackNode[Any]]) -> None:
        node = make()
        if signals.told_to_end.is_set():
            return
        spinner = Spinner(node)
        try:
            node.start()
            spinner.start()
            self.wait()
        finally:
            node.stop()
            spinner.stop()
            node.destroy_node()


def run_node(make: Callable[[], StackNode[Any]]) -> NoReturn:
    """Run one node until SIGINT or SIGTERM, and end the process.

    Exit codes: 0 after a signal, 1 when the node broke or did not end when told to, 2 when its parameters, bundle or
    device cannot be used (starting it again would not help).
    """
    runner = _Runner()
    threading.excepthook = runner.on_thread_error
    signals.note()
    rclpy.init(args=sys.argv, signal_handler_options=SignalHandlerOptions.NO)
    try:
        runner.run(make)
    except SoArmError as error:
        get_logger("so_arm_policy").fatal(str(error))
        runner.exit_code = UNUSABLE
    finally:
        rclpy.try_shutdown()
    _end(runner.exit_code)


def _end(exit_code: int) -> NoReturn:
    """End the process without taking the interpreter apart.

    Everything is closed by now. What is left are libraries of graphics, inference and DDS, at times with a thread still
    inside: taken apart in no order of theirs, they have crashed here, and hung.
    """
    busy = signals.busy_threads()
    if busy:
        get_logger("so_arm_policy").warning(f"ending without its busy threads {busy}")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)
