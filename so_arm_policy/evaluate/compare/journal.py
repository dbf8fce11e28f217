"""Every finished episode of a comparison, on disk before the next one ends: what an interruption leaves behind."""

import fcntl
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from so_arm_policy import __version__
from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.core.mapping import from_mapping, to_mapping
from so_arm_policy.evaluate.compare.live.rows import LiveOutcome
from so_arm_policy.evaluate.compare.rows import Key
from so_arm_policy.evaluate.compare.run import Outcome, Settings
from so_arm_policy.evaluate.compare.table import SCHEMA_VERSION

FILE_NAME, LIVE_FILE_NAME = "episodes.jsonl", "live_episodes.jsonl"
UNDISTURBED_SCHEMA = 1  # had no perturbations; its rows are those of undisturbed episodes

Kept = TypeVar("Kept", Outcome, LiveOutcome)


class JournalOf(Generic[Kept]):
    """A file of one line for each outcome, below a line that says what they were measured with.

    outcomes: by the key of their row; of two with one key the later one. Use it as a context manager.
    """

    def __init__(self, folder: Path, settings: Settings, kind: type[Kept], name: str) -> None:
        """Read what is there and take the file for this process. A line cut off by an interruption is dropped.

        Rows of schema version 1 are read as well. Raises ConfigError where another process has it, or it was made with
        other settings; InputError where it is no journal.
        """
        self._kind: type[Kept] = kind
        self.path = folder / name
        self.outcomes: dict[Key, Kept] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a+b")
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(f"{self.path}: got a comparison that is still running, expected none") from error
        except OSError as error:
            raise ConfigError(f"{folder}: got {error.strerror}, expected a folder that can be written") from error
        try:
            self._read(to_mapping({"schema": SCHEMA_VERSION, "version": __version__, "settings": settings}))
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        """Return the journal."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Leave the file to others."""
        self._file.close()

    def add(self, outcome: Kept) -> None:
        """Write one outcome; it is on disk when this returns. Raises ConfigError, e.g. for a full disk."""
        self._write(to_mapping(outcome))
        self.outcomes[outcome.row.key] = outcome

    def _read(self, header: dict[str, Any]) -> None:
        self._file.seek(0)
        whole, _, _ = self._file.read().rpartition(b"\n")
        self._file.truncate(len(whole) + 1 if whole else 0)
        lines = whole.split(b"\n") if whole else []
        if not lines:
            self._write(header)
            return
        got, *rows = (self._parsed(number, line) for number, line in enumerate(lines, 1))
        known = got in (header, {**header, "schema": UNDISTURBED_SCHEMA})
        if not known and not rows:
            self._file.truncate(0)
            self._write(header)
        elif not known:
            raise ConfigError(f"{self.path}: got episodes of {got}, expected {header}; give another folder")
        for number, row in enumerate(rows, 2):
            outcome = from_mapping(self._kind, row, f"{self.path}:{number}")
            self.outcomes[outcome.row.key] = outcome

    def _parsed(self, number: int, line: bytes) -> Any:
        try:
            return json.loads(line)
        except ValueError as error:
            raise InputError(f"{self.path}:{number}: got {error}, expected one JSON mapping") from error

    def _write(self, mapping: dict[str, Any]) -> None:
        try:
            self._file.write(json.dumps(mapping, allow_nan=False).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise ConfigError(f"{self.path}: got {error.strerror}, expected room for one more line") from error


class Journal(JournalOf[Outcome]):
    """That of the episodes in lockstep."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        """Raises ConfigError or InputError, as above."""
        super().__init__(folder, settings, Outcome, FILE_NAME)


class LiveJournal(JournalOf[LiveOutcome]):
    """That of the episodes on the graph."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        """Raises ConfigError or InputError, as above."""
        super().__init__(folder, settings, LiveOutcome, LIVE_FILE_NAME)
