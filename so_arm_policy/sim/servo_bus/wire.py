"""A pseudo-terminal that simulated servos answer on, as fast as a wire of that baud rate would let them."""

import contextlib
import os
import pty
import select
import threading
import time
import tty
from pathlib import Path

from so_arm_policy.core.errors import DeviceError
from so_arm_policy.sim.servo_bus.bus import SimBus

BITS_PER_BYTE = 10
CHUNK = 4096
LOOK_S = 0.05
FORGET_S = 0.02


class Wire:
    """The device that a driver opens is `device`; `link` leads there by a name that stays the same.

    paced: take the time that a real wire needs; False in tests.
    """

    def __init__(self, bus: SimBus, link: Path | None = None, *, baudrate: int = 1_000_000, paced: bool = True) -> None:
        """Open the terminal. Raises DeviceError."""
        self.bus = bus
        self._byte_s = BITS_PER_BYTE / baudrate if paced else 0.0
        self._paced = paced
        self._link = link
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._open()

    @property
    def device(self) -> str:
        """Path of what a driver opens."""
        return str(self._link) if self._link is not None else os.ttyname(self._slave)

    def start(self) -> None:
        """Answer in a thread of its own."""
        self._thread = threading.Thread(target=self.run, name="servo-wire", daemon=True)
        self._thread.start()

    def run(self) -> None:
        """Answer until `stop`."""
        quiet_s = 0.0
        while not self._stop.is_set():
            try:
                if not select.select([self._master], [], [], LOOK_S)[0]:
                    quiet_s += LOOK_S
                    if quiet_s > FORGET_S:
                        self.bus.silence()
                    continue
                heard = os.read(self._master, CHUNK)
            except OSError:
                return
            quiet_s = 0.0
            self._answer(heard)

    def unplug(self) -> None:
        """Take the adapter away: who has it open gets an error."""
        self.stop()

    def plug(self) -> None:
        """Bring it back, under the same link."""
        self._stop.clear()
        self._open()
        self.start()

    def stop(self) -> None:
        """End the thread and close the terminal."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._link is not None:
            with contextlib.suppress(OSError):
                self._link.unlink()
        for end in (self._slave, self._master):
            with contextlib.suppress(OSError):
                os.close(end)

    def _open(self) -> None:
        # Both ends stay open here: a terminal without anybody at its other end would report its closing for ever.
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        if self._link is None:
            return
        try:
            self._link.parent.mkdir(parents=True, exist_ok=True)
            if self._link.is_symlink():
                self._link.unlink()
            self._link.symlink_to(os.ttyname(self._slave))
        except OSError as error:
            raise DeviceError(f"servo bus: got {error}, expected a link that can be made") from error

    def _answer(self, heard: bytes) -> None:
        due_s = time.monotonic() + len(heard) * self._byte_s
        for wait_s, packet in self.bus.hear(heard):
            due_s += wait_s + len(packet) * self._byte_s
            left_s = due_s - time.monotonic()
            if self._paced and left_s > 0.0:
                # Who speaks while servos still answer makes one noise of both.
                if select.select([self._master], [], [], left_s)[0]:
                    self.bus.counts["collisions"] += 1
                    return
            elif wait_s > 0.0 and left_s > 0.0:
                time.sleep(left_s)
            os.write(self._master, packet)
