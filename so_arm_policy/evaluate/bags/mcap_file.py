"""An MCAP file that grows chunk by chunk and holds whole chunks only, whatever happens to the disk.

Format: https://mcap.dev/spec. rosbags' writer has no way on from a failed write; this one goes back to the last chunk.
"""

import os
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path

MAGIC = b"\x89MCAP0\r\n"
LIBRARY = "so_arm_policy"
CHUNK_BYTES = 1 << 20
LATEST_NS = 2**63 - 1
HEADER, FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK, INDEX = range(0x01, 0x08)
CHUNK_INDEX, STATISTICS, METADATA, METADATA_INDEX, OFFSET, DATA_END = 0x08, 0x0B, 0x0C, 0x0D, 0x0E, 0x0F
_MESSAGE = struct.Struct("<BQHIQQ")  # all of a message record before its data


def text(value: str) -> bytes:
    """Return a string as MCAP writes it."""
    data = value.encode()
    return struct.pack("<I", len(data)) + data


def pairs(values: dict[str, str]) -> bytes:
    """Return a map of strings as MCAP writes it."""
    data = b"".join(text(key) + text(value) for key, value in values.items())
    return struct.pack("<I", len(data)) + data


def record(kind: int, data: bytes) -> bytes:
    """Return a record with its kind and length."""
    return struct.pack("<BQ", kind, len(data)) + data


@dataclass
class _Open:
    """The chunk that is being filled."""

    parts: list[bytes] = field(default_factory=list)
    size: int = 0
    index: dict[int, list[tuple[int, int]]] = field(default_factory=dict)  # channel -> times and places of messages
    first_ns: int = LATEST_NS
    last_ns: int = 0

    def add(self, data: bytes) -> None:
        self.parts.append(data)
        self.size += len(data)


@dataclass(frozen=True)
class _Done:
    """A chunk in the file: where it begins, its index record, its messages by channel, its first and last time."""

    at: int
    index: bytes
    counts: dict[int, int]
    first_ns: int
    last_ns: int


class McapFile:
    """Writes one file. counts: messages in whole chunks, by channel. One thread owns it."""

    def __init__(self, path: Path) -> None:
        """Create the file. Raises OSError."""
        self._file = open(path, "xb", buffering=0)  # noqa: SIM115 - closed by `close`
        self._end = 0
        self._schemas: dict[str, bytes] = {}
        self._channels: list[bytes] = []
        self._sequences: list[int] = []
        self._chunks: list[_Done] = []
        self._open = _Open()
        self._append(MAGIC + record(HEADER, text("ros2") + text(LIBRARY)))

    @property
    def size(self) -> int:
        """Bytes in the file and in the chunk that is being filled."""
        return self._end + self._open.size

    @property
    def counts(self) -> dict[int, int]:
        """Messages in whole chunks, by channel."""
        return {c: sum(d.counts.get(c, 0) for d in self._chunks) for c in range(1, len(self._channels) + 1)}

    @property
    def span_ns(self) -> tuple[int, int]:
        """First and last time of the messages in whole chunks; 0, 0 without any."""
        if not self._chunks:
            return 0, 0
        return min(d.first_ns for d in self._chunks), max(d.last_ns for d in self._chunks)

    def add_channel(self, topic: str, kind: str, definition: str, metadata: dict[str, str]) -> int:
        """Add a topic of message type `kind`; return its number."""
        if kind not in self._schemas:
            data = struct.pack("<H", len(self._schemas) + 1) + text(kind) + text("ros2msg") + text(definition)
            self._schemas[kind] = record(SCHEMA, data)
            self._open.add(self._schemas[kind])
        number, schema = len(self._channels) + 1, list(self._schemas).index(kind) + 1
        data = struct.pack("<HH", number, schema) + text(topic) + text("cdr") + pairs(metadata)
        self._channels.append(record(CHANNEL, data))
        self._sequences.append(0)
        self._open.add(self._channels[-1])
        return number

    def write(self, channel: int, time_ns: int, data: bytes) -> None:
        """Add a message that came at `time_ns`. Raises OSError when the chunk was full and could not be written."""
        time_ns = min(max(time_ns, 0), LATEST_NS)
        chunk, sequence = self._open, self._sequences[channel - 1]
        self._sequences[channel - 1] = sequence + 1 & 0xFFFFFFFF
        chunk.index.setdefault(channel, []).append((time_ns, chunk.size))
        chunk.first_ns, chunk.last_ns = min(chunk.first_ns, time_ns), max(chunk.last_ns, time_ns)
        chunk.parts += _MESSAGE.pack(MESSAGE, 22 + len(data), channel, sequence, time_ns, time_ns), data
        chunk.size += _MESSAGE.size + len(data)
        if chunk.size >= CHUNK_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the chunk that is being filled. Raises OSError: its messages are lost, and the file is as before."""
        chunk, self._open = self._open, _Open()
        if not chunk.index:
            self._open = chunk
            return
        data = b"".join(chunk.parts)
        head = struct.pack("<QQQI", chunk.first_ns, chunk.last_ns, len(data), zlib.crc32(data))
        whole = record(CHUNK, head + text("") + struct.pack("<Q", len(data)) + data)
        indices, offsets, at = [], [], self._end + len(whole)
        for channel, places in chunk.index.items():
            flat = b"".join(struct.pack("<QQ", *place) for place in places)
            indices.append(record(INDEX, struct.pack("<HI", channel, len(flat)) + flat))
            offsets.append(struct.pack("<HQ", channel, at))
            at += len(indices[-1])
        index = struct.pack("<QQQQ", chunk.first_ns, chunk.last_ns, self._end, len(whole))
        index += struct.pack("<I", 10 * len(offsets)) + b"".join(offsets) + struct.pack("<Q", sum(map(len, indices)))
        index += text("") + struct.pack("<QQ", len(data), len(data))
        counts = {channel: len(places) for channel, places in chunk.index.items()}
        done = _Done(self._end, record(CHUNK_INDEX, index), counts, chunk.first_ns, chunk.last_ns)
        self._append(whole + b"".join(indices))
        self._chunks.append(done)

    def close(self, metadata: str) -> None:
        """Write the summary with rosbag2's own `metadata`, and close.

        Raises OSError: then the file is as before and still open; `drop_chunk` makes room.
        """
        self.flush()
        self._append(self._summary(metadata))
        os.fsync(self._file.fileno())
        self._file.close()

    def drop_chunk(self) -> bool:
        """Take the last chunk out of the file; return whether there was one."""
        if not self._chunks:
            return False
        self._end = self._chunks.pop().at
        self._file.truncate(self._end)
        return True

    def _append(self, data: bytes) -> None:
        """Write all of `data` or nothing. Raises OSError."""
        view = memoryview(data)
        try:
            self._file.seek(self._end)
            while view:
                view = view[self._file.write(view) :]
        except OSError:
            self._file.truncate(self._end)
            raise
        self._end += len(data)

    def _summary(self, metadata: str) -> bytes:
        kept = record(METADATA, text("rosbag2") + pairs({"serialized_metadata": metadata}))
        place = record(METADATA_INDEX, struct.pack("<QQ", self._end, len(kept)) + text("rosbag2"))
        out = kept + record(DATA_END, struct.pack("<I", 0))
        start = self._end + len(out)
        groups = [
            (SCHEMA, b"".join(self._schemas.values())),
            (CHANNEL, b"".join(self._channels)),
            (CHUNK_INDEX, b"".join(d.index for d in self._chunks)),
            (METADATA_INDEX, place),
            (STATISTICS, self._statistics()),
        ]
        offsets = b""
        for kind, data in groups:
            if data:
                offsets += record(OFFSET, struct.pack("<BQQ", kind, self._end + len(out), len(data)))
                out += data
        out += offsets
        return out + record(FOOTER, struct.pack("<QQI", start, self._end + len(out) - len(offsets), 0)) + MAGIC

    def _statistics(self) -> bytes:
        counts = self.counts
        by_channel = b"".join(struct.pack("<HQ", *item) for item in counts.items())
        data = struct.pack("<QHI", sum(counts.values()), len(self._schemas), len(self._channels))
        data += struct.pack("<IIIQQ", 0, 1, len(self._chunks), *self.span_ns)
        return record(STATISTICS, data + struct.pack("<I", len(by_channel)) + by_channel)
