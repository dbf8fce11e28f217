"""What was heard on the graph of one live episode: from the instruction to its end."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.evaluate.director import TaskReading
from so_arm_policy.evaluate.recording import NodeRecord

OF_A_TICK_S = 0.5 / CONTROL_HZ


@dataclass(frozen=True, kw_only=True, eq=False)
class Stamped:
    """Messages in the order in which they came. stamps_ns: (T,) ROS time, values: (T, k)."""

    stamps_ns: np.ndarray
    values: FloatArray

    @classmethod
    def of(cls, rows: list[tuple[int, FloatArray]], width: int) -> "Stamped":
        """Return `rows` of (stamp, (width,)) as one."""
        stamps = np.array([stamp for stamp, _ in rows], dtype=np.int64)
        return cls(stamps_ns=stamps, values=np.array([value for _, value in rows]).reshape(len(rows), width))

    def __len__(self) -> int:
        return len(self.stamps_ns)


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """What the supervisor said in one status: its counters since its start, whether a source moves the arm, why not.

    passed: proposals passed bit-identical; counts: all other verdicts by reason.
    """

    stamp_ns: int
    moving: bool
    code: str
    passed: int
    counts: Mapping[str, int]


@dataclass(frozen=True, kw_only=True, eq=False)
class Heard:
    """One live episode.

    wall_s: from the instruction to its end. readings: of the judge, at least one. joints: measured, one for each tick
    of the simulator, (T, n) rad; commands: of the supervisor, (C, n) rad; states: of the simulator, (S, nq).
    verdicts: from the last status before the instruction to the first after the end. contexts, inferences: how many
    came; context_ms: what each context took to compute. proposals: of the source, when each was made and the oldest
    measurement behind it, (P, 2) ns; pictures: when each was taken, (K,) ns. supervisor, source, simulator: their ticks
    around the episode.
    """

    wall_s: float
    readings: tuple[TaskReading, ...]
    joints: Stamped
    commands: Stamped
    states: FloatArray
    verdicts: tuple[Verdicts, ...]
    contexts: int | None
    inferences: int | None
    context_ms: tuple[float, ...]
    proposals: np.ndarray
    pictures: np.ndarray
    supervisor: NodeRecord
    source: NodeRecord
    simulator: NodeRecord

    def time_s(self, limit_s: float) -> float | None:
        """Return after how many simulated seconds it had succeeded; None where not within `limit_s`."""
        done_s = self.readings[-1].done_s
        if done_s is None or done_s > limit_s + OF_A_TICK_S:
            return None
        return round(done_s * CONTROL_HZ) / CONTROL_HZ  # it was rounded for people on its way

    def ticks(self, limit_s: float) -> int:
        """Return how many simulated ticks it took, at most those of `limit_s`."""
        return round(min(self.time_s(limit_s) or self.readings[-1].time_s, limit_s) * CONTROL_HZ)
