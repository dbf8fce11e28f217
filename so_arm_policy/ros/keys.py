"""Single keys at the terminal, as lerobot-record has them; without a terminal, letters on standard input."""

import contextlib
import os
import select
import sys
import termios
import tty
from collections.abc import Iterator

# The arrows and Escape are LeRobot's; the letters do the same.
NEXT, AGAIN, STOP = "next", "again", "stop"
KEYS = {b"\x1b[C": NEXT, b"\x1b[D": AGAIN, b"\x1b": STOP, b"n": NEXT, b"r": AGAIN, b"q": STOP}
HELP = "n or -> : keep, go on    r or <- : discard, record again    q or Esc : keep, stop"
LONGEST = 16


@contextlib.contextmanager
def listening() -> Iterator[None]:
    """Let single keys through for the length of the block, where standard input is a terminal."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin.fileno())
    tty.setcbreak(sys.stdin.fileno())
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, before)


def pressed(wait_s: float) -> str:
    """Return what the key means that is pressed within `wait_s`, or ""; of several the first that means something.

    The end of standard input is no key: it is waited for as if none were pressed.
    """
    fd = sys.stdin.fileno()
    if not select.select([fd], [], [], wait_s)[0]:
        return ""
    # An arrow is three bytes that come at once; letters are taken one by one, so that none of several is lost.
    data = os.read(fd, LONGEST if sys.stdin.isatty() else 1)
    if not data:
        select.select([], [], [], wait_s)
    return KEYS.get(data, "")
