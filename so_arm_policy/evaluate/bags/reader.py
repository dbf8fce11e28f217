"""Reads any rosbag2 bag, of MCAP or sqlite3, whole or damaged, a message at a time. Nothing in a bag is ever run."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from backports import zstd
from rosbags.rosbag2 import Reader

from so_arm_policy.core.errors import InputError
from so_arm_policy.evaluate.bags.mcap_scan import McapScan
from so_arm_policy.evaluate.bags.metadata import FILE_NAME, Quality, qualities
from so_arm_policy.evaluate.bags.types import decoded_of_any_version, is_known
from so_arm_policy.evaluate.bags.unpacking import SUFFIX, unpack

PEEKED = 2000  # messages
STORAGES = (".mcap", ".db3")
LARGEST_METADATA = 64 << 20
LARGEST_MESSAGE = 1 << 28


@dataclass(frozen=True, kw_only=True)
class Record:
    """One message as it lies in the bag. time_ns: when it was received."""

    topic: str
    kind: str
    time_ns: int
    data: bytes

    def message(self) -> Any:
        """Return the message; one of an earlier version lacks the fields that came later. Raises InputError."""
        return decoded_of_any_version(self.data, self.kind)


Source = Callable[[], Iterator[Record]]


class Bag:
    """One bag. custom: what its writer noted. damage: what was passed over, by reason; grows while it is read."""

    def __init__(self, path: Path) -> None:
        """path: of a folder, or of one .mcap or .db3 file. Raises InputError for what is no bag at all."""
        self.path = path
        self.damage: Counter[str] = Counter()
        self.custom: dict[str, str] = {}
        self._folder: TemporaryDirectory[str] | None = None  # of files that are packed as a whole; goes with the bag
        # By topic that has messages, as far as known before reading.
        self.kinds: dict[str, str] = {}
        self._silent: set[str] = set()  # topics that the metadata counts no message of
        self.qualities: dict[str, tuple[Quality, ...]] = {}
        if not path.exists():
            raise InputError(f"bag {path}: got no such file or folder, expected a bag")
        self._sources = self._of_folder(path) if path.is_dir() else [self._of_file(path, "")]
        for topic in self._silent:
            self.kinds.pop(topic, None)
        if not self.kinds:
            self._peek()

    def records(self, topics: Callable[[str], bool] = lambda topic: True) -> Iterator[Record]:
        """Yield the messages of the topics for which `topics` is true, in the order in which they lie in the bag."""
        for source in self._sources:
            for record in source():
                self.kinds.setdefault(record.topic, record.kind)
                if topics(record.topic):
                    yield record

    def _peek(self) -> None:
        """Learn the topics of a bag without an end from its beginning."""
        before = Counter(self.damage)
        for _ in islice(self.records(), PEEKED):
            pass
        self.damage.clear()
        self.damage.update(before)

    def _of_folder(self, folder: Path) -> list[Source]:
        values = self._metadata(folder)
        named = values.get("relative_file_paths")
        # Only files of this very folder: a bag is not told where to read.
        names = [Path(str(name)).name for name in named] if isinstance(named, list) else []
        paths = [folder / name for name in names]
        for path in [p for p in paths if not p.is_file()]:
            self.damage[f"a file is missing: {path.name}"] += 1
        paths = [p for p in paths if p.is_file()] or sorted(p for p in folder.iterdir() if _holds_messages(p))
        if not paths:
            raise InputError(f"bag {folder}: got no .mcap or .db3 file, expected one")
        mode = str(values.get("compression_mode") or "").lower()
        return [self._of_file(self._unpacked_file(p) if p.suffix == SUFFIX else p, mode) for p in paths]

    def _unpacked_file(self, path: Path) -> Path:
        self._folder = self._folder or TemporaryDirectory(prefix="so_arm_bag_")
        whole, damage = unpack(path, Path(self._folder.name))
        self.damage.update([damage] if damage else [])
        return whole

    def _metadata(self, folder: Path) -> dict[str, Any]:
        """Return metadata.yaml, empty where there is none that can be read; the files tell most of it, too."""
        path = folder / FILE_NAME
        try:
            if path.stat().st_size > LARGEST_METADATA:
                raise ValueError("got more than any metadata")
            values = yaml.safe_load(path.read_text(encoding="utf-8"))["rosbag2_bagfile_information"]
            custom = values.get("custom_data") or {}
            self.custom = {str(key): str(value) for key, value in custom.items()}
            for entry in values.get("topics_with_message_count") or []:
                given = entry["topic_metadata"]
                topic = str(given["name"])
                self.kinds[topic] = str(given["type"])
                self.qualities[topic] = qualities(given.get("offered_qos_profiles"))
                if entry.get("message_count") == 0:
                    self._silent.add(topic)
        except FileNotFoundError:
            self.damage[f"no {FILE_NAME}"] += 1
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, yaml.YAMLError) as error:
            self.damage[f"{FILE_NAME}: {type(error).__name__}"] += 1
            return {}
        return dict(values)

    def _of_file(self, path: Path, mode: str) -> Source:
        if path.suffix == ".mcap":
            return self._by_scan(path, mode == "message")
        if path.suffix == ".db3":
            return self._by_library(path, mode == "message")
        raise InputError(f"bag {path}: got a {path.suffix or 'nameless'} file, expected a folder, .mcap or .db3")

    def _by_scan(self, path: Path, packed: bool) -> Source:
        scan = McapScan(path)
        self.kinds.update({c.topic: c.kind for c in scan.channels.values()})
        self.qualities.update({c.topic: qualities(c.qualities) for c in scan.channels.values()})
        scan.damage = self.damage  # one count for all files of the bag

        def records() -> Iterator[Record]:
            for channel, time_ns, data in scan.messages():
                if channel.encoding != "cdr":
                    self.damage[f"messages in {channel.encoding!r}, not cdr"] += 1
                    continue
                whole = self._unpacked(data) if packed else data
                if whole is not None:
                    yield Record(topic=channel.topic, kind=channel.kind, time_ns=time_ns, data=whole)

        return records

    def _by_library(self, path: Path, packed: bool = False) -> Source:
        reader = Reader(path)
        self._guarded(reader.open, path)
        try:
            self.kinds.update({c.topic: c.msgtype for c in reader.connections})
        finally:
            reader.close()

        def records() -> Iterator[Record]:
            self._guarded(reader.open, path)
            try:
                messages = reader.messages(reader.connections)
                while True:
                    try:
                        connection, time_ns, data = next(messages)
                    except StopIteration:
                        return
                    except Exception as error:  # noqa: BLE001 - whatever the library meets in a damaged file
                        self.damage[f"cut off: {type(error).__name__}"] += 1
                        return
                    whole = self._unpacked(bytes(data)) if packed else bytes(data)
                    if whole is not None:
                        kind = connection.msgtype
                        yield Record(topic=connection.topic, kind=kind, time_ns=time_ns, data=whole)
            finally:
                with suppress(Exception):
                    reader.close()

        return records

    @staticmethod
    def _guarded(action: Callable[[], None], path: Path) -> None:
        try:
            action()
        except Exception as error:
            raise InputError(
                f"bag {path}: got {type(error).__name__} ({error}), expected a bag that can be read"
            ) from error

    def _unpacked(self, data: bytes) -> bytes | None:
        """Return a message that was compressed by itself; None, and counted, where it cannot be."""
        try:
            whole = zstd.ZstdDecompressor().decompress(data, max_length=LARGEST_MESSAGE + 1)
        except zstd.ZstdError:
            whole = b""
        if not 0 < len(whole) <= LARGEST_MESSAGE:
            self.damage["messages that cannot be decompressed"] += 1
            return None
        return whole


def _holds_messages(path: Path) -> bool:
    return Path(path.name.removesuffix(SUFFIX)).suffix in STORAGES


class Decoder:
    """Messages of topics by the types that are expected there. skipped: messages passed over, by reason."""

    def __init__(self) -> None:
        """Begin with nothing skipped."""
        self.skipped: Counter[str] = Counter()

    def message(self, record: Record, *kinds: str) -> Any:
        """Return the message of `record`, of one of `kinds` (none given: of any known); None where it is not."""
        if kinds and record.kind not in kinds:
            self.skipped[f"{record.topic}: {record.kind}, expected {' or '.join(kinds)}"] += 1
        elif not is_known(record.kind):
            self.skipped[f"unknown type {record.kind}"] += 1
        else:
            try:
                return record.message()
            except InputError:
                self.skipped[f"{record.topic}: no whole {record.kind}"] += 1
        return None
