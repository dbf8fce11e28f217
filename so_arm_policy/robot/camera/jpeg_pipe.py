"""JPEG pictures one after the other through a named pipe: a camera that another program reads, e.g. rpicam-vid."""

import os
import select
import time

import cv2
import numpy as np

from so_arm_policy.core.errors import DeviceError
from so_arm_policy.core.values import Image
from so_arm_policy.robot.camera.frame import Frame

PATIENCE_S = 2.0  # without a picture
BEGIN, END = b"\xff\xd8\xff", b"\xff\xd9"
CHUNK = 1 << 16
LARGEST_BYTES = 32 << 20  # of a picture


class JpegPipe:
    """A FIFO that another program writes motion JPEG to. The newest picture counts; older ones that wait are lost."""

    live = True
    fps = 0.0
    refused: tuple[str, ...] = ()

    def __init__(self, path: str) -> None:
        """Open it; who writes may come later. Raises DeviceError."""
        self._path = path
        self._held = bytearray()
        try:
            self._pipe = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            raise DeviceError(f"{path}: got {error.strerror}, expected a named pipe to read") from error
        self._poll = select.poll()
        self._poll.register(self._pipe, select.POLLIN)
        self.summary = f"JPEG pictures through the pipe {path}"

    def read(self) -> Frame:
        """Return the newest picture. Raises DeviceError where none comes, or the other end is closed."""
        until_s, lost = time.monotonic() + PATIENCE_S, 0
        while (left_s := until_s - time.monotonic()) > 0.0:
            if not self._fill(left_s):
                continue
            taken_ns = time.monotonic_ns()
            waiting = self._pictures()
            for jpeg in reversed(waiting):
                bgr = decoded(jpeg)
                if bgr is not None:
                    return Frame(bgr=bgr, taken_ns=taken_ns, lost=lost + len(waiting) - 1)
            lost += len(waiting)
        raise DeviceError(f"{self._path}: got no picture within {PATIENCE_S:g} s, expected JPEG pictures")

    def close(self) -> None:
        """Close this end."""
        os.close(self._pipe)

    def _fill(self, left_s: float) -> bool:
        """Take what there is, waiting for some; False where nothing came. Raises DeviceError without a writer."""
        events = dict(self._poll.poll(1000.0 * left_s))
        if not events:
            return False
        if not events[self._pipe] & select.POLLIN:
            raise DeviceError(f"{self._path}: got a pipe that nobody writes to any more, expected JPEG pictures")
        while len(self._held) <= LARGEST_BYTES and self._poll.poll(0) and (chunk := os.read(self._pipe, CHUNK)):
            self._held += chunk
        return True

    def _pictures(self) -> list[bytes]:
        """Return the JPEGs that are whole by their markers and forget them; entropy-coded data holds no marker END."""
        found = []
        while (begin := self._held.find(BEGIN)) >= 0 and (end := self._held.find(END, begin)) >= 0:
            found.append(bytes(self._held[begin : end + len(END)]))
            del self._held[: end + len(END)]
        if len(self._held) > LARGEST_BYTES:
            self._held.clear()
        return found


def decoded(jpeg: bytes) -> Image | None:
    """Return a JPEG as (height, width, 3) uint8 BGR, None where it is damaged."""
    try:
        bgr = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:  # a damaged header may ask for any size
        return None
    return None if bgr is None else np.asarray(bgr, np.uint8)
