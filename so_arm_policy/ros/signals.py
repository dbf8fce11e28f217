"""SIGINT and SIGTERM, from the first moment of a node's process on.

Its imports take a second, several on a busy machine; a signal that breaks into them ends the process with a failure.
"""

import signal
import threading
from types import FrameType

NUMBERS = signal.SIGINT, signal.SIGTERM
told_to_end = threading.Event()


def catch() -> None:
    """From now on, a signal only sets `told_to_end`."""
    for number in NUMBERS:
        signal.signal(number, _on_signal)


def _on_signal(number: int, frame: FrameType | None) -> None:
    told_to_end.set()
