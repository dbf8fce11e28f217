"""A rosbag2 bag that is being written: a folder with an MCAP file and its metadata, readable whatever happens."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from so_arm_policy.core.errors import InputError
from so_arm_policy.evaluate.bags.mcap_file import McapFile
from so_arm_policy.evaluate.bags.metadata import FILE_NAME, Quality, TopicEntry, dumped, metadata, qualities_text
from so_arm_policy.evaluate.bags.types import definition


class BagWriter:
    """Writes messages as they come. One thread owns it.

    failure: why no more can be written, or "". lost: messages that were taken and are not in the bag because of that.
    """

    def __init__(self, folder: Path) -> None:
        """Make `folder`. Raises InputError when it exists or cannot be made."""
        try:
            folder.mkdir(parents=True)
            self._name = f"{folder.name}_0.mcap"  # the first of one or more; `ros2 bag reindex` takes no other names
            self._file = McapFile(folder / self._name)
        except OSError as error:
            raise InputError(f"bag {folder}: got {error.strerror or error}, expected to make a new folder") from error
        self.folder = folder
        self.failure = ""
        self.lost = 0
        self.custom: dict[str, str] = {}
        self._topics: list[TopicEntry] = []
        self._taken = 0
        self._closed = False

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._file.size

    @property
    def count(self) -> int:
        """Messages taken so far."""
        return self._taken

    def add_topic(self, name: str, kind: str, qualities: Sequence[Quality] = ()) -> int:
        """Add a topic of a known message type; return its number. Raises InputError for an unknown type."""
        text, digest = definition(kind)
        given = {"offered_qos_profiles": qualities_text(qualities), "topic_type_hash": digest}
        self._topics.append(TopicEntry(name=name, kind=kind, definition_hash=digest, qualities=tuple(qualities)))
        return self._file.add_channel(name, kind, text, given)

    def write(self, topic: int, time_ns: int, data: bytes) -> bool:
        """Add a message that came at `time_ns`; False once there is a failure."""
        if self.failure:
            self.lost += 1
            return False
        self._taken += 1
        try:
            self._file.write(topic, time_ns, data)
        except OSError as error:
            self._fail(error)
        return not self.failure

    def flush(self) -> bool:
        """Have in the file what was taken so far; False once there is a failure."""
        if not self.failure:
            try:
                self._file.flush()
            except OSError as error:
                self._fail(error)
        return not self.failure

    def close(self) -> None:
        """Write the index and the metadata, in the place of the last chunks where the disk is full. Once is enough."""
        if self._closed:
            return
        try:
            self._file.flush()
        except OSError as error:
            self._fail(error)
        self._closed = True
        while True:
            try:
                self._finish()
                break
            except OSError as error:
                self._fail(error)
                if not self._file.drop_chunk():
                    break
        self.lost += max(self._taken - sum(self._file.counts.values()), 0)

    def _finish(self) -> None:
        counts = self._file.counts
        topics = [replace(topic, count=counts[number]) for number, topic in enumerate(self._topics, 1)]
        custom = {**self.custom, **({"failure": self.failure} if self.failure else {})}
        values = metadata(self._name, topics, self._file.span_ns, custom)
        path = self.folder / FILE_NAME
        path.write_text(dumped({"rosbag2_bagfile_information": values}), encoding="utf-8")
        self._file.close(dumped(values).rstrip())

    def _fail(self, error: OSError) -> None:
        self.failure = self.failure or f"bag {self.folder}: got {error.strerror or error}, expected room to write"
