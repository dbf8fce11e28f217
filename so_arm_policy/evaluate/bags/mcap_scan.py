"""Reads an MCAP file from its beginning on, as far as it goes: no index and no end are needed, and nothing is believed.

A file cut off in the middle, never closed, or damaged in places gives what it holds; each damage is counted.
"""

import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import lz4.frame
from backports import zstd

from so_arm_policy.core.errors import InputError
from so_arm_policy.evaluate.bags import mcap_file

LARGEST_CHUNK = 1 << 28  # bytes, unpacked; rosbag2 makes chunks of some MiB
LARGEST_RECORD = 1 << 28


@dataclass(frozen=True)
class Channel:
    """One topic of a file. encoding: of its messages, "cdr" for ROS 2; qualities: of service, as in rosbag2."""

    topic: str
    kind: str
    encoding: str
    qualities: str = ""


class McapScan:
    """One file. damage: what was passed over, by reason, grows while messages are read."""

    def __init__(self, path: Path) -> None:
        """Raises InputError for a file that is not MCAP at all."""
        self._path = path
        self.damage: Counter[str] = Counter()
        self.channels: dict[int, Channel] = {}
        self._schemas: dict[int, str] = {}
        try:
            self._size = path.stat().st_size
            with open(path, "rb") as file:
                magic = file.read(len(mcap_file.MAGIC))
                if magic == mcap_file.MAGIC:
                    self._read_summary(file)
        except OSError as error:
            raise InputError(f"{path}: got {error.strerror or error}, expected to read it") from error
        if magic != mcap_file.MAGIC:
            raise InputError(f"{path}: got {magic!r} at its beginning, expected an MCAP file")

    def messages(self) -> Iterator[tuple[Channel, int, bytes]]:
        """Yield channel, log time in ns and data of each message, in the file's order."""
        with open(self._path, "rb") as file:
            file.seek(len(mcap_file.MAGIC))
            while True:
                head = file.read(9)
                if len(head) < 9:
                    if head != mcap_file.MAGIC:
                        self.damage["cut off: the file has no end"] += 1
                    return
                kind, size = struct.unpack("<BQ", head)
                if size > self._size - file.tell():
                    self.damage["cut off: the last record is not whole"] += 1
                    return
                if kind in (mcap_file.DATA_END, mcap_file.FOOTER):
                    return
                if kind == mcap_file.CHUNK:
                    yield from self._chunk(file.read(size))
                elif kind in (mcap_file.SCHEMA, mcap_file.CHANNEL, mcap_file.MESSAGE) and size <= LARGEST_RECORD:
                    yield from self._record(kind, memoryview(file.read(size)))
                else:
                    file.seek(size, 1)

    def _read_summary(self, file: BinaryIO) -> None:
        """Learn the topics from the end of the file, where there is one; those in damaged chunks are known so too."""
        if self._size < 45:
            return
        file.seek(-37, 2)
        end = file.read(37)
        start = struct.unpack("<Q", end[9:17])[0]
        if end[-8:] != mcap_file.MAGIC or end[0] != mcap_file.FOOTER or not 0 < start < self._size - 37:
            return
        file.seek(start)
        while file.tell() < self._size - 37:
            kind, size = struct.unpack("<BQ", file.read(9))
            if size > self._size - file.tell():
                return
            data = memoryview(file.read(size))
            if kind in (mcap_file.SCHEMA, mcap_file.CHANNEL):
                for _ in self._record(kind, data):
                    pass
        self.damage.clear()

    def _chunk(self, data: bytes) -> Iterator[tuple[Channel, int, bytes]]:
        try:
            records = _unpacked(data)
        except (ValueError, struct.error, UnicodeDecodeError, zstd.ZstdError, RuntimeError, EOFError) as error:
            self.damage[f"a chunk passed over: {type(error).__name__}"] += 1
            return
        at = 0
        while at < len(records):
            if len(records) - at < 9:
                self.damage["a chunk that ends within a record"] += 1
                return
            kind, size = struct.unpack_from("<BQ", records, at)
            if size > len(records) - at - 9:
                self.damage["a chunk that ends within a record"] += 1
                return
            yield from self._record(kind, records[at + 9 : at + 9 + size])
            at += 9 + size

    def _record(self, kind: int, data: memoryview) -> Iterator[tuple[Channel, int, bytes]]:
        try:
            if kind == mcap_file.MESSAGE:
                number, _, time_ns, _ = struct.unpack_from("<HIQQ", data)
                channel = self.channels.get(number)
                if channel is None:
                    self.damage["a message of a topic that is not described"] += 1
                else:
                    yield channel, time_ns, bytes(data[22:])
            elif kind == mcap_file.SCHEMA:
                name, _ = _text(data, 2)
                self._schemas[struct.unpack_from("<H", data)[0]] = name
            elif kind == mcap_file.CHANNEL:
                number, schema = struct.unpack_from("<HH", data)
                topic, at = _text(data, 4)
                encoding, at = _text(data, at)
                given = _pairs(data, at).get("offered_qos_profiles", "")
                self.channels[number] = Channel(topic, self._schemas.get(schema, ""), encoding, given)
        except (struct.error, ValueError):
            self.damage["a record that makes no sense"] += 1


def _text(data: memoryview, at: int) -> tuple[str, int]:
    """Return the string at `at` and where it ends. Raises ValueError or struct.error."""
    (size,) = struct.unpack_from("<I", data, at)
    if size > len(data) - at - 4:
        raise ValueError(f"got a text of {size} bytes in {len(data)}")
    return str(data[at + 4 : at + 4 + size], "utf-8"), at + 4 + size


def _pairs(data: memoryview, at: int) -> dict[str, str]:
    """Return the map of strings at `at`. Raises ValueError or struct.error."""
    (size,) = struct.unpack_from("<I", data, at)
    at, end, found = at + 4, at + 4 + size, {}
    while at < min(end, len(data)):
        key, at = _text(data, at)
        found[key], at = _text(data, at)
    return found


def _unpacked(data: bytes) -> memoryview:
    """Return the records of a chunk. Raises ValueError, and what the decompressors raise."""
    view = memoryview(data)
    _, _, size, checksum = struct.unpack_from("<QQQI", view)
    packing, at = _text(view, 28)
    (packed_size,) = struct.unpack_from("<Q", view, at)
    packed = view[at + 8 :]
    if size > LARGEST_CHUNK or packed_size != len(packed):
        raise ValueError(f"got a chunk of {size} bytes, {packed_size} packed, expected {len(packed)}")
    if packing == "zstd":
        records = zstd.ZstdDecompressor().decompress(packed, max_length=size + 1)
    elif packing == "lz4":
        records = lz4.frame.LZ4FrameDecompressor().decompress(packed, max_length=size + 1)
    elif packing == "":
        records = bytes(packed)
    else:
        raise ValueError(f"got packing {packing!r}, expected zstd, lz4 or none")
    if len(records) != size or (checksum and zlib.crc32(records) != checksum):
        raise ValueError("got a chunk whose checksum or size is wrong")
    return memoryview(records)
