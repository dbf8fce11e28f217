"""What a fault is: what is done, to what, from when on, and what must come of it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from enum import Enum

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.core.values import JointSample, Proposal
from so_arm_policy.safety.config import SupervisorConfig
from so_arm_policy.safety.values import TickInput
from so_arm_policy.sim.simulator import Simulator

SOURCES = ("system1", "pid", "expert", "planner")
OTHER = "other"  # a second source that every supervisor of the campaign knows, and that says nothing by itself
REACTION_TICKS = 2
WATCHED_TICKS = 90

_DEFAULTS = SupervisorConfig()


def within(timeout_s: float) -> int:
    """Return the ticks in which a silence must show in the command: its timeout, and two."""
    return math.ceil(timeout_s * CONTROL_HZ) + REACTION_TICKS


PROPOSAL_SILENCE = within(_DEFAULTS.proposal_timeout_s)
STATE_SILENCE = within(_DEFAULTS.state_timeout_s)
CLOCK_SILENCE = within(_DEFAULTS.clock_timeout_s)


class Expect(Enum):
    """What must come of a fault. In every case all commands keep all limits and nothing is touched."""

    STOPS = "stops"  # slows down within the reaction time, stands, and stays so while the fault lasts
    STANDS = "never starts"  # no command moves while the fault lasts
    LIMITS = "within limits"  # motion may go on, also after what the fault proposes
    IGNORES = "not followed"  # motion may go on, but no command goes towards the false values
    REFUSES = "refuses to start"  # ConfigError, before anything runs


class Onset(Enum):
    """When a fault begins."""

    MOVING = "moving"  # when the arm moves at speed
    START = "start"  # with the first tick


@dataclass(frozen=True, kw_only=True, eq=False)
class Now:
    """One tick of a fault, for its injector.

    tick: since the fault began, 0 first; true_tick: since the start; now_ns: the time that all true stamps have.
    joint: number of the fastest joint when it began; way: +1 or -1, where that went; q0, dq0: the command and its
    velocity when it began, (n,) rad and rad/s; source: the selected one; sample: the true state.
    """

    tick: int
    true_tick: int
    now_ns: int
    robot: RobotConfig
    simulator: Simulator
    source: str
    joint: int
    way: float
    q0: FloatArray
    dq0: FloatArray
    sample: JointSample
    seed: int


class Injector:
    """Does nothing. A fault overrides what it changes; one object lives for one run, and may remember.

    The methods are called while the fault lasts, once a tick, in this order.
    """

    def begin(self, robot: RobotConfig) -> FloatArray | None:  # noqa: ARG002
        """Return where the joints stand at the start, (n,) rad, None for home. Called before the run."""
        return None

    def plant(self, now: Now) -> None:
        """Change the arm itself: friction, torques, forces. What is changed in the model is undone after the run."""

    def arrive(self, now: Now, proposal: Proposal | None) -> list[Proposal]:  # noqa: ARG002
        """Return what arrives at the supervisor of what the source says, in this order; the newest of each counts."""
        return [] if proposal is None else [proposal]

    def see(self, now: Now, tick: TickInput) -> list[TickInput]:  # noqa: ARG002
        """Return the ticks that the supervisor has in this period, none when it is dead."""
        return [tick]


@dataclass(frozen=True)
class FaultCase:
    """One named fault.

    injector: makes what injects it into one run; start: for REFUSES instead, what must raise ConfigError.
    reaction: ticks after which its motion must only get slower (STOPS). lasts: ticks it is there, None to the end;
    ticks: how long the run goes on after it began. config: parameters of the supervisor that differ from its defaults.
    limp: servos lose their force, so that the arm falls: what it falls on is not judged.
    sources: who moves the arm. robot: a shipped one.
    """

    name: str
    text: str
    expect: Expect
    _: KW_ONLY
    injector: Callable[[], Injector] = Injector
    start: Callable[[], object] | None = None
    reaction: int = REACTION_TICKS
    onset: Onset = Onset.MOVING
    lasts: int | None = None
    ticks: int = WATCHED_TICKS
    config: Mapping[str, object] = field(default_factory=dict)
    limp: bool = False
    sources: tuple[str, ...] = SOURCES
    robot: str = "so101"

    def __post_init__(self) -> None:
        """Refuse a case that could not show anything. Raises ConfigError."""
        if (self.start is not None) != (self.expect is Expect.REFUSES):
            raise ConfigError(f"case {self.name!r}: got expectation {self.expect.name}, expected REFUSES with a start")
        if not 0 <= self.reaction < self.ticks or not 0 < (self.lasts or 1) <= self.ticks:
            raise ConfigError(f"case {self.name!r}: got {self.ticks} ticks, expected more than it is to react or last")

    @property
    def end(self) -> int:
        """Ticks after its beginning at which the fault is over."""
        return self.ticks if self.lasts is None else self.lasts
