"""SIGINT and SIGTERM, from the first moment of a node's process on.

Its imports take a second, several on a busy machine; a signal that breaks into them ends the process with a failure.
"""

import faulthandler
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType

STUCK_S = 4.5  # from the signal to the end, at most: `ros2 launch` waits for 5 s, then kills without a word
told_to_end = threading.Event()
_listener: threading.Thread | None = None


def end_at_once() -> None:
    """From now on, a signal ends the process with exit code 0; as long as nothing is begun."""
    _handle(lambda number, frame: os._exit(0))


def note() -> None:
    """From now on, a signal only sets `told_to_end`; whoever heeds that ends the process within `STUCK_S`.

    A process that does not says where its threads are, on stderr, and ends with exit code 1.
    """
    global _listener
    heard, written = os.pipe()
    os.set_blocking(written, False)
    signal.set_wakeup_fd(written, warn_on_full_buffer=False)
    # A thread, not the handler: that runs in the main thread between any two steps of it, also while it holds the lock
    # which `set` wants, and not at all while it is inside a library.
    _listener = threading.Thread(target=_listen, args=(heard,), name="signals", daemon=True)
    _listener.start()
    _handle(lambda number, frame: None)


def busy_threads() -> list[str]:
    """Return the names of the threads that run beside this one and the one that waits for signals."""
    own = (threading.current_thread(), _listener)
    return [thread.name for thread in threading.enumerate() if thread not in own]


def _listen(heard: int) -> None:
    os.read(heard, 1)
    # A C thread of its own: it needs neither this interpreter's lock nor its main thread.
    faulthandler.dump_traceback_later(STUCK_S, exit=True)
    told_to_end.set()


def _handle(handler: Callable[[int, FrameType | None], object]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)
