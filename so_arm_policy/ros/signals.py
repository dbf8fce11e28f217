"""SIGINT and SIGTERM, from the first moment of a node's process on.

Its imports take a second, several on a busy machine; a signal that breaks into them ends the process with a failure.
"""

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType

told_to_end = threading.Event()


def end_at_once() -> None:
    """From now on, a signal ends the process with exit code 0; as long as nothing is begun."""
    _handle(lambda number, frame: os._exit(0))


def note() -> None:
    """From now on, a signal only sets `told_to_end`."""
    _handle(lambda number, frame: told_to_end.set())


def _handle(handler: Callable[[int, FrameType | None], object]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)
