"""A stretch of a bag on the grid of frames: which samples each frame shows, and where one episode ends.

Each frame shows of every stream the newest sample at or before it. A frame of which one is older than the mapping
allows is refused, and the episode ends before it: LeRobot knows no gaps.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.timegrid import NS
from so_arm_policy.learn.conversion.listening import ACTION, CAMERA, STATE
from so_arm_policy.learn.conversion.mapping import Mapping
from so_arm_policy.learn.conversion.stretches import Ints, Stretch
from so_arm_policy.learn.datasets.writer import LONGEST_VIDEO_S

LEAST_ROWS = 2  # of an episode


@dataclass(frozen=True, kw_only=True, eq=False)
class Piece:
    """An episode to be, T frames. times_ns: (T,); state, action: (T, n) in the bag's units, in the robot's order.

    pictures: by camera, which of its pictures each frame shows, (T,).
    """

    task: str
    times_ns: Ints
    state: FloatArray
    action: FloatArray
    pictures: dict[str, Ints]


@dataclass
class Tally:
    """Frames: kept, and refused by reason; ends of episodes by reason."""

    kept: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)


def frame_times(start_ns: int, end_ns: int, fps: int) -> Ints:
    """Return the times of the frames from `start_ns` on that are before `end_ns`, (T,)."""
    count = max(-((start_ns - end_ns) * fps // NS), 0)
    times = start_ns + np.arange(count, dtype=np.int64) * NS // fps
    return times[times < end_ns]


def pieces(stretch: Stretch, mapping: Mapping, tally: Tally) -> Iterator[Piece]:
    """Yield the episodes of a stretch, and count."""
    silent = [role for role, stream in stretch.streams.items() if not len(stream.times_ns)]
    spans = [(stream.times_ns[0], stream.times_ns[-1]) for stream in stretch.streams.values() if len(stream.times_ns)]
    if not spans:
        return
    begin, last = min(int(first) for first, _ in spans), max(int(last) for _, last in spans)
    if silent:
        tally.refused[f"no {silent[0]}"] += len(frame_times(begin, last + 1, mapping.fps))
        return
    ready = max(int(first) for first, _ in spans)  # from here on, everything is there
    if ready > begin:
        tally.refused["before everything was there"] += len(frame_times(begin, ready, mapping.fps))
    for start_ns, end_ns, task in _orders(stretch, ready, last + 1, tally):
        times_ns = frame_times(start_ns, end_ns, mapping.fps)
        if not task.strip():
            tally.refused["no instruction"] += len(times_ns)
            continue
        yield from _runs(stretch, mapping, times_ns, task, tally)


def _orders(stretch: Stretch, ready: int, end: int, tally: Tally) -> Iterator[tuple[int, int, str]]:
    """Yield start, end and sentence of each part under one order: up to another sentence, or a mark."""
    changes = {at for (_, before), (at, text) in pairwise(stretch.words) if text != before}
    cuts = sorted(at for at in changes | set(stretch.marks) if ready < at < end)
    tally.ends["at an instruction or mark"] += len(cuts)
    for start_ns, end_ns in pairwise([ready, *cuts, end]):
        newest = bisect_right(stretch.words, start_ns, key=lambda said: said[0]) - 1
        yield start_ns, end_ns, stretch.words[newest][1]


def _runs(stretch: Stretch, mapping: Mapping, times_ns: Ints, task: str, tally: Tally) -> Iterator[Piece]:
    """Yield what is left of the frames at `times_ns` as episodes without gaps."""
    shown = {role: np.searchsorted(s.times_ns, times_ns, side="right") - 1 for role, s in stretch.streams.items()}
    good = np.ones(len(times_ns), dtype=np.bool_)
    for role, stream in stretch.streams.items():
        limit_s = _max_age_s(role, mapping)
        fresh = times_ns - stream.times_ns[shown[role]] <= round(limit_s * NS)
        _refuse(f"{role} older than {limit_s:g} s", good, fresh, tally)
    values = {role: stretch.streams[role].values[shown[role]] for role in (STATE, ACTION)}
    _refuse("no torque", good, ~np.isnan(values[ACTION]).any(axis=1), tally)
    least = max(LEAST_ROWS, round(mapping.shortest_s * mapping.fps))
    runs = _parts(good, most=int(LONGEST_VIDEO_S * mapping.fps))
    tally.ends["at refused frames, or too long"] += max(len(runs) - 1, 0)
    for rows in runs:
        count = rows.stop - rows.start
        if count < least:
            tally.refused[f"in pieces of less than {least} frames"] += count
            continue
        tally.kept += count
        yield Piece(
            task=task,
            times_ns=times_ns[rows],
            state=values[STATE][rows],
            action=values[ACTION][rows],
            pictures={
                role.removeprefix(CAMERA): stream.values[shown[role][rows]]
                for role, stream in stretch.streams.items()
                if role.startswith(CAMERA)
            },
        )


def _refuse(reason: str, good: npt.NDArray[np.bool_], fine: npt.NDArray[np.bool_], tally: Tally) -> None:
    """Take the frames that are not `fine` out of `good`; the first reason counts."""
    refused = int((good & ~fine).sum())
    if refused:
        tally.refused[reason] += refused
    good &= fine


def _parts(good: npt.NDArray[np.bool_], most: int) -> list[slice]:
    """Return the runs of true values, none longer than `most`."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], good, [False]]).astype(np.int8)))
    runs = zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
    return [slice(at, min(at + most, end)) for begin, end in runs for at in range(begin, end, most)]


def _max_age_s(role: str, mapping: Mapping) -> float:
    if role.startswith(CAMERA):
        return mapping.cameras[role.removeprefix(CAMERA)].max_age_s
    return (mapping.state if role == STATE else mapping.action).max_age_s
