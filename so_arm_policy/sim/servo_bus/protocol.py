"""Packets of the STS protocol, as a servo sees them: instructions in, status packets out.

    FF FF id length instruction parameters... checksum
    FF FF id length error       data...       checksum

length counts what follows it; the checksum is the complement of the sum of all between the FFs and itself.
"""

from dataclasses import dataclass
from enum import IntEnum

BROADCAST = 0xFE
HEADER = b"\xff\xff"
LONGEST = 250


class Instruction(IntEnum):
    """What a servo can be told."""

    PING = 1
    READ = 2
    WRITE = 3
    REG_WRITE = 4
    ACTION = 5
    SYNC_READ = 0x82
    SYNC_WRITE = 0x83


@dataclass(frozen=True)
class Packet:
    """One whole instruction."""

    servo: int
    instruction: int
    parameters: bytes


def checksum(body: bytes) -> int:
    """Return the last byte of a packet whose bytes between FF FF and it are `body`."""
    return ~sum(body) & 0xFF


def status(servo: int, error: int, data: bytes = b"") -> bytes:
    """Return a servo's answer."""
    body = bytes([servo, len(data) + 2, error]) + data
    return HEADER + body + bytes([checksum(body)])


def instruction(servo: int, what: int, parameters: bytes = b"") -> bytes:
    """Return what a host sends; for tests that speak without an SDK."""
    return status(servo, what, parameters)


class Decoder:
    """Finds whole instructions in a stream of bytes; what is none is skipped and counted."""

    def __init__(self) -> None:
        """Begin with nothing heard."""
        self._heard = b""
        self.bad = 0

    def feed(self, data: bytes) -> list[Packet]:
        """Take in bytes and return the instructions that are whole now."""
        self._heard += data
        packets = []
        while (packet := self._next()) is not None:
            packets.append(packet)
        return packets

    def forget(self) -> None:
        """Drop a packet that has begun: a servo does so when its rest does not come."""
        self._heard = b""

    def _next(self) -> Packet | None:
        while True:
            start = self._heard.find(HEADER)
            if start < 0:
                self._heard = self._heard[-1:] if self._heard.endswith(b"\xff") else b""
                return None
            self._heard = self._heard[start:]
            if len(self._heard) < 4:
                return None
            length = self._heard[3]
            if self._heard[2] == 0xFF or not 2 <= length <= LONGEST:
                self._heard = self._heard[1:]
                continue
            if len(self._heard) < length + 4:
                return None
            body, last = self._heard[2 : length + 3], self._heard[length + 3]
            if checksum(body) != last:
                self.bad += 1
                self._heard = self._heard[2:]
                continue
            self._heard = self._heard[length + 4 :]
            return Packet(body[0], body[2], bytes(body[3:]))
