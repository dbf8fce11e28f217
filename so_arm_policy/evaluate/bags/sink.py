"""What lies between the arrival of messages and a bag: a queue of limited size, and the work of one thread."""

import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from so_arm_policy.core.errors import InputError
from so_arm_policy.evaluate.bags.images import COMPRESSED, IMAGE, SUFFIX, compressed
from so_arm_policy.evaluate.bags.metadata import Quality
from so_arm_policy.evaluate.bags.types import exact
from so_arm_policy.evaluate.bags.writer import BagWriter

FLUSH_S = 1.0  # a process that is killed loses no more than this
WAIT_S = 0.1


@dataclass(kw_only=True)
class Stream:
    """One recorded topic. number: in the bag, 0 before its first message; codec: of its pictures, or ""."""

    topic: str
    kind: str
    qualities: tuple[Quality, ...] = ()
    codec: str = ""
    number: int = field(default=0, init=False)
    raw: int = field(default=0, init=False)  # number of the topic of pictures that no codec takes


class Sink:
    """Takes messages from any thread, never waits for the disk, and writes them in the order in which they came.

    What finds the queue full is dropped and counted: dropped, by topic. spoilt: messages that are not of their type.
    """

    def __init__(self, writer: BagWriter, queue_bytes: int = 64 << 20, codec: str = "png") -> None:
        """queue_bytes: of messages that may wait; codec: of pictures, one of images.CODECS."""
        self._writer = writer
        self._limit = queue_bytes
        self._codec = "" if codec == "raw" else codec
        self._waiting: deque[tuple[Stream, int, bytes]] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._closed = False
        self._why = ""
        self.dropped: Counter[str] = Counter()
        self.spoilt: Counter[str] = Counter()
        self.most_waiting = 0

    @property
    def waiting_bytes(self) -> int:
        """Bytes in the queue."""
        return self._bytes

    def stream(self, topic: str, kind: str, qualities: Sequence[Quality] = ()) -> Stream:
        """Return what `put` takes for the messages of one topic; pictures go to its compressed sister."""
        codec = self._codec if kind == IMAGE else ""
        return Stream(topic=topic, kind=kind, qualities=tuple(qualities), codec=codec)

    def put(self, stream: Stream, time_ns: int, data: bytes) -> bool:
        """Hand over a message that came at `time_ns`; False when closed, or, counted, without room."""
        with self._changed:
            if self._closed or self._writer.failure or self._bytes + len(data) > self._limit:
                self.dropped[stream.topic] += not self._closed
                return False
            self._waiting.append((stream, time_ns, data))
            self._bytes += len(data)
            self.most_waiting = max(self.most_waiting, self._bytes)
            self._changed.notify()
        return True

    def close(self) -> None:
        """Let `run` write what waits, close the bag and return; nothing more is taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def give_up(self, why: str) -> None:
        """End the bag because of `why`: what waits is still written, nothing more is taken."""
        self._why = why
        self.close()

    def run(self) -> None:
        """Write until `close`, or until the bag takes no more; belongs in a thread of its own."""
        flushed = time.monotonic()
        while not self._writer.failure:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed, WAIT_S)
                taken = list(self._waiting)
                self._waiting.clear()
                ended = self._closed
            for item in taken:
                self._write(*item)
                with self._changed:
                    self._bytes -= len(item[2])
            if ended and not taken:
                break
            if time.monotonic() - flushed >= FLUSH_S:
                self._writer.flush()
                flushed = time.monotonic()
        if self._why and not self._writer.failure:
            self._writer.failure = f"bag {self._writer.folder}: {self._why}"
        self._writer.close()

    def _write(self, stream: Stream, time_ns: int, data: bytes) -> None:
        small = None
        if stream.codec:
            try:
                small = compressed(data, stream.codec)
            except InputError:
                self.spoilt[stream.topic] += 1
                return
        if small is not None:
            if not stream.number:
                stream.number = self._writer.add_topic(stream.topic + SUFFIX, COMPRESSED, stream.qualities)
            self._writer.write(stream.number, time_ns, small)
        else:
            stream.raw = stream.raw or self._writer.add_topic(stream.topic, stream.kind, stream.qualities)
            try:
                data = exact(data, stream.kind)
            except Exception:  # noqa: BLE001 - from a library, about bytes that may be anything: kept as they came
                self.spoilt[stream.topic] += 1
            self._writer.write(stream.raw, time_ns, data)
