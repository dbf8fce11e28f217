"""Values that go into the supervisor and come out of it. All are frozen; arrays are read-only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Self

import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.values import JointSample, MotorSample, Proposal

if TYPE_CHECKING:
    from so_arm_policy.safety.doubt import Doubts
    from so_arm_policy.safety.plant import Plant


class Action(Enum):
    """What was done with a proposal in one tick."""

    PASS = "PASS"
    CLAMP = "CLAMP"
    REJECT = "REJECT"
    HOLD = "HOLD"
    FALLBACK = "FALLBACK"
    ESTOP = "ESTOP"


class Mode(IntEnum):
    """State of the supervisor; the numbers are those of SafetyStatus.msg."""

    INIT = 0
    ACTIVE = 1
    HOLD = 2
    FALLBACK = 3
    ESTOP = 4


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something wrong that only the caller can see (a second publisher, a dead bus), true in this tick.

    latches: stop until a reset, which is refused while the fault lasts; otherwise hold while it lasts.
    """

    code: str
    text: str
    latches: bool = False


@dataclass(frozen=True)
class Finding:
    """A rule that failed: its stable code, and what was got and expected."""

    code: str
    text: str
    action: Action = Action.REJECT


@dataclass(frozen=True, kw_only=True)
class TickInput:
    """All that one tick knows.

    now_ns: monotonic time; ros_now_ns: ROS time; sample: the newest joint state; proposals: the newest of each source,
    left in place until a newer one comes; estop: reason of an emergency stop asked for in this tick; reset, select:
    requests of this tick; faults: what the caller sees wrong in this tick. motors: their newest report, None where they
    never make one.
    """

    now_ns: int
    ros_now_ns: int
    sample: JointSample | None
    proposals: Mapping[str, Proposal]
    estop: str | None = None
    reset: bool = False
    select: str | None = None
    faults: tuple[Fault, ...] = ()
    motors: MotorSample | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """The outcome of one tick.

    command: (n,) rad, None before the first joint state; code, text: empty on PASS; source: the one that acts or would;
    margin: distance of the proposal to the nearest limit as a share of it (1 far, 0 at it, negative beyond), None when
    no proposal was measured; refused: why a reset or selection asked for in this tick was not done.
    doubts: codes of the doubts in the source that last, whatever was decided; slowed: one of them lets it move at a
    share of its speed only. limp: the motors are to be without torque.
    """

    action: Action
    command: FloatArray | None = field(repr=False)
    code: str
    text: str
    source: str
    mode: Mode
    margin: float | None = None
    refused: str = ""
    doubts: tuple[str, ...] = ()
    slowed: bool = False
    limp: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Output:
    """The newest command: at `q`, reached by the move `step` in one nominal tick, `bend` larger than the one before.

    All (n,) rad.
    """

    q: FloatArray
    step: FloatArray
    bend: FloatArray

    @classmethod
    def at_rest(cls, q: FloatArray) -> Self:
        """Return a command that stands at a copy of `q` (n,) rad."""
        zeros = np.zeros(len(q))
        return cls(_read_only(q.copy()), zeros, zeros)

    def moved(self, q: FloatArray, step: FloatArray) -> Self:
        """Return the command one tick on, at `q`, after the move `step`. Both become read-only."""
        return type(self)(_read_only(q), _read_only(step), step - self.step)

    @property
    def resting(self) -> bool:
        """Whether it stands still and may stay so."""
        return not (self.step.any() or self.bend.any())


def _read_only(q: FloatArray) -> FloatArray:
    q.setflags(write=False)
    return q


@dataclass(frozen=True, slots=True)
class Heard:
    """The newest proposal that was accepted from the acting source; times as in Proposal."""

    sequence: int
    stamp_ns: int
    received_ns: int


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SupervisorState:
    """All that one tick hands to the next.

    selected: source the operator wants; acting: the one that acts, the fallback after a handover.
    output: newest command, (n,) rad, and how it moves;
    target: (n,) rad, where the acting source wanted to be (within position limits), or where the arm is let go to; None
    while it brakes or holds.
    joining: the acting source was let in and its target is not reached yet.
    arrived_ns, arrived_sequence: monotonic time when the newest proposal of the acting source came, accepted or not,
    and its number.
    epoch_ns: ROS time before which everything is old. credit_ns: time not yet spent on motion.
    ros_moved_ns: monotonic time when the ROS clock last advanced. latched: what stopped everything.
    plant: what the measured states have shown so far. letting_go: joints that lag are let go once the arm has braked;
    see safety/plant.py. going_limp: the motors are to be without torque once the arm has braked.
    doubts: in the acting source, None while there are none; see safety/doubt.py.
    """

    mode: Mode
    selected: str
    acting: str
    output: Output | None = None
    target: FloatArray | None = None
    joining: bool = False
    heard: Heard | None = None
    arrived_ns: int = 0
    arrived_sequence: int = -1
    sample_stamp_ns: int = 0
    epoch_ns: int = 0
    now_ns: int | None = None
    ros_now_ns: int = 0
    ros_moved_ns: int = 0
    credit_ns: int = 0
    latched: Finding | None = None
    plant: "Plant | None" = None
    letting_go: bool = False
    going_limp: bool = False
    doubts: "Doubts | None" = None

    @property
    def limp(self) -> bool:
        """Whether the motors are to be without torque now."""
        return self.going_limp and self.output is not None and self.output.resting
