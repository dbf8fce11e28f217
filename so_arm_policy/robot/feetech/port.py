"""The serial port of Feetech's SDK, with its waiting made fit for a control loop.

feetech-servo-sdk 1.0.0 (November 2022, its last release; LeRobot uses it too) frames and checks packets well, but its
port waits 34 ms for an answer that is lost, spins meanwhile, goes by the wall clock, and keeps late answers for the
next question. This port does none of that.
"""

import select
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager

import scservo_sdk
import serial

from so_arm_policy.core.errors import DeviceError

BITS_PER_BYTE = 10  # 8N1
MOST_BYTES = 4096  # of one answer; a device that never falls silent is no servo


class BusPort(scservo_sdk.PortHandler):
    """A port that blocks for what it waits for, until a deadline on the monotonic clock.

    patience_s: how long after the time that the bytes need on the wire an answer may come.
    """

    def __init__(self, device: str, baudrate: int, patience_s: float) -> None:
        """Open `device`. Raises DeviceError."""
        super().__init__(device)
        self.patience_s = patience_s
        self.baudrate = baudrate
        self._deadline_s = 0.0
        self._budget = 0
        try:
            opened = self.openPort()
        except (OSError, termios.error, ValueError) as error:
            raise DeviceError(f"servo bus {device}: got {error}, expected a serial port that is free") from error
        if not opened:
            raise DeviceError(f"servo bus {device}: got {baudrate} baud, expected a rate that the servos know")

    def setupPort(self, cflag_baud: int) -> bool:  # noqa: N802 - the SDK's name
        """Open the port for this process alone: two writers would tear each other's packets."""
        self.ser = serial.Serial(self.port_name, cflag_baud, timeout=0, exclusive=True)
        self.is_open = True
        self.ser.reset_input_buffer()
        self.tx_time_per_byte = 1000.0 * BITS_PER_BYTE / cflag_baud
        return True

    def clearPort(self) -> None:  # noqa: N802
        """Forget answers that came too late: they answer another question."""
        with self._guarded():
            self.ser.reset_input_buffer()

    def writePort(self, packet: list[int]) -> int:  # noqa: N802
        """Send. Raises DeviceError when the adapter is gone."""
        with self._guarded():
            return int(self.ser.write(packet) or 0)

    def readPort(self, length: int) -> bytes:  # noqa: N802
        """Return `length` bytes, or what there is at the deadline. Raises DeviceError when the adapter is gone."""
        read = bytearray()
        with self._guarded():
            while len(read) < length and self._budget > 0:
                # What has arrived is taken even after the deadline: it may be this process that was late.
                left_s = max(self._deadline_s - time.monotonic(), 0.0)
                if not select.select([self.ser], [], [], left_s)[0]:
                    break
                more = self.ser.read(length - len(read))
                self._budget -= len(more)
                read += more
        return bytes(read)

    def setPacketTimeout(self, packet_length: int) -> None:  # noqa: N802
        """Wait for the time that `packet_length` bytes take, and the patience."""
        self.setPacketTimeoutMillis(packet_length * self.tx_time_per_byte)

    def setPacketTimeoutMillis(self, msec: float) -> None:  # noqa: N802
        """Wait for `msec` and the patience."""
        self._deadline_s = time.monotonic() + msec / 1000.0 + self.patience_s
        self._budget = MOST_BYTES

    def isPacketTimeout(self) -> bool:  # noqa: N802
        """Whether the deadline has passed."""
        return time.monotonic() >= self._deadline_s or self._budget <= 0

    def closePort(self) -> None:  # noqa: N802
        """Give the port back."""
        if self.ser is not None:
            self.ser.close()
        self.is_open = False

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except (OSError, termios.error, TypeError, ValueError) as error:  # pyserial: TypeError once it is closed
            self.is_using = False
            raise DeviceError(f"servo bus {self.port_name}: got {error}, expected the adapter to stay") from error
