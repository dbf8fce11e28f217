"""What one bag holds of use for frames: times and values by stream, apart wherever its clock jumped."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from so_arm_policy.core.errors import InputError
from so_arm_policy.core.timegrid import NS
from so_arm_policy.learn.conversion.listening import CAMERA, MARK, WORDS, Heard, Listener

BACK_NS = NS // 10  # messages of one moment lie in a bag in any order; further back the clock was set
SILENCE_NS = NS  # nothing at all for so long: the clock was set, or the recording paused
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Stream:
    """Samples by rising time. values: (T, n) of joints in the bag's units, or (T,) which picture of its camera."""

    times_ns: Ints
    values: npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class Stretch:
    """A part of a bag in which time went on. words: sentences with their times; marks: times of the marker."""

    streams: dict[str, Stream]
    words: tuple[tuple[int, str], ...]
    marks: tuple[int, ...]


@dataclass
class Hearing:
    """What was heard of a bag. jumps: of its clock, by kind; sizes: (height, width) of each camera's pictures."""

    jumps: Counter[str] = field(default_factory=Counter)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)


def stretches(listener: Listener, hearing: Hearing, first_words: str) -> Iterator[Stretch]:
    """Yield the stretches of a bag, and fill `hearing`. first_words: the sentence until there is another.

    Raises InputError for a camera whose pictures change in size.
    """
    part = _Part(listener.roles, first_words)
    for heard in listener.hear():
        passed_ns = heard.received_ns - part.newest_ns if part.newest_ns is not None else 0
        if not -BACK_NS <= passed_ns <= SILENCE_NS:
            hearing.jumps["the clock went back" if passed_ns < 0 else f"silence of more than {SILENCE_NS // NS} s"] += 1
            yield part.stretch()
            part = _Part(listener.roles, part.words[-1][1])
        if heard.role.startswith(CAMERA):
            part.add(heard, hearing.counts[heard.role])
            _check_size(heard, hearing.sizes)
        else:
            part.add(heard, heard.value)
        hearing.counts[heard.role] += 1
    yield part.stretch()


class _Part:
    """A stretch while it is heard. newest_ns: when its newest message was received."""

    def __init__(self, roles: list[str], words: str) -> None:
        self.newest_ns: int | None = None
        self.words = [(0, words)]
        self._marks: list[int] = []
        self._samples: dict[str, list[tuple[int, Any]]] = {role: [] for role in roles}

    def add(self, heard: Heard, value: Any) -> None:
        self.newest_ns = max(self.newest_ns or 0, heard.received_ns)
        if heard.role == WORDS:
            self.words.append((heard.time_ns, str(value)))
        elif heard.role == MARK:
            self._marks.append(heard.time_ns)
        else:
            self._samples[heard.role].append((heard.time_ns, value))

    def stretch(self) -> Stretch:
        streams = {}
        for role, samples in self._samples.items():
            times_ns = np.array([time_ns for time_ns, _ in samples], dtype=np.int64)
            values = np.array([value for _, value in samples])
            order = np.argsort(times_ns, kind="stable")
            streams[role] = Stream(times_ns=times_ns[order], values=values[order])
        return Stretch(
            streams=streams,
            words=tuple(sorted(self.words, key=lambda said: said[0])),
            marks=tuple(sorted(self._marks)),
        )


def _check_size(heard: Heard, sizes: dict[str, tuple[int, int]]) -> None:
    assert isinstance(heard.value, np.ndarray)
    got = (heard.value.shape[0], heard.value.shape[1])
    first = sizes.setdefault(heard.role.removeprefix(CAMERA), got)
    if got != first:
        told, expected = (f"{width}x{height}" for height, width in (got, first))
        raise InputError(f"{heard.role}: got a picture of {told}, expected {expected} as its first; set its `size`")
