"""What people decided, kept where a supervisor that died cannot forget it."""

import json
import os
import tempfile
from collections.abc import Collection
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

from so_arm_policy.safety.values import SupervisorState

PREFIX = "so_arm_decisions_"
MOST_BYTES = 1 << 16
UNREADABLE = "what was decided before cannot be read"
ASKED = "estop.request"


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """source: the selected one; stopped: why the emergency stop is latched, "" when it is not."""

    source: str
    stopped: str = ""

    @classmethod
    def of(cls, state: SupervisorState) -> "Decisions":
        """Return what of `state` must outlive its supervisor."""
        cause = state.latched
        if cause is None:
            return cls(source=state.selected)
        # A stop that is asked for again after a restart says what it said before.
        return cls(source=state.selected, stopped=cause.text if cause.code == ASKED else f"{cause.code}: {cause.text}")


class DecisionFile:
    """A file that exists while decisions differ from what a supervisor starts with. One thread owns it.

    In memory by default, so that the tick thread may write it; it outlives processes, not the machine.
    failure: why the newest decisions are not in it, or "".
    """

    def __init__(self, path: str, source: str, sources: Collection[str]) -> None:
        """path: of the file, "" for none; source: of `sources`, the one that a supervisor starts with."""
        self._sources = sources
        self._path = Path(path) if path else None
        self._initial = self._kept = Decisions(source=source)
        self.failure = ""

    def recall(self) -> Decisions:
        """Return what was decided before this process; a file that cannot be read is a stop."""
        if self._path is None or not os.path.lexists(self._path):
            return self._initial
        try:
            self._kept = _read(self._path, self._sources)
        except (OSError, ValueError, TypeError, RecursionError) as error:
            self._kept = Decisions(source=self._initial.source, stopped=f"{UNREADABLE} ({self._path}: {error!r})")
        return self._kept

    def keep(self, state: SupervisorState) -> None:
        """Write what is new in `state`, if anything is; call it once a tick."""
        decisions = Decisions.of(state)
        if decisions == self._kept or self._path is None:
            return
        self._kept, self.failure = decisions, ""
        try:
            if decisions == self._initial:
                self._path.unlink(missing_ok=True)
            else:
                _write(self._path, decisions)
        except OSError as error:
            self.failure = f"decisions: got {error!r}, expected to write {self._path}: a restart forgets {decisions}"


def new_path() -> str:
    """Return where one run of the stack keeps its decisions: in shared memory, which no disk can delay."""
    memory = Path("/dev/shm")  # noqa: S108 - the name is nobody else's
    folder = memory if memory.is_dir() else Path(tempfile.gettempdir())
    return str(folder / f"{PREFIX}{uuid4().hex}")


def forget(path: str) -> None:
    """Delete the file of a run that is over; not one that somebody named, to keep it over runs."""
    if Path(path).name.startswith(PREFIX):
        with suppress(OSError):
            Path(path).unlink(missing_ok=True)


def _read(path: Path, sources: Collection[str]) -> Decisions:
    with path.open("rb") as file:
        given = file.read(MOST_BYTES + 1)
    if len(given) > MOST_BYTES:
        raise ValueError(f"got more than {MOST_BYTES} bytes, expected decisions")
    decisions = Decisions(**json.loads(given))
    if decisions.source not in sources or not isinstance(decisions.stopped, str):
        raise ValueError(f"got {decisions}, expected a source of {list(sources)} and a text")
    return decisions


def _write(path: Path, decisions: Decisions) -> None:
    """Write whole or not at all."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        unfinished.write_text(json.dumps(asdict(decisions)))
        os.replace(unfinished, path)
    except OSError:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise
