"""What a routine may ask for. A routine is a generator: it yields an action and is sent what came of it."""

from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from so_arm_policy.control.grammar import Order
from so_arm_policy.control.hand import Hand
from so_arm_policy.control.ik import ArmIk
from so_arm_policy.control.motion.clear import Near
from so_arm_policy.control.tabletop import Tabletop
from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import SoArmError
from so_arm_policy.core.robot import RobotConfig


class Interrupted(SoArmError):  # noqa: N818 - no error: it happens
    """A motion was broken off: what it was planned for is no longer so. The arm has come to rest."""


@dataclass(frozen=True)
class Look:
    """Wait at rest for what is on the table now. Sent back: the Tabletop."""

    stage: str = "look"


@dataclass(frozen=True, kw_only=True, eq=False)
class Leg:
    """One part of a motion, to `goal` (n,) rad and to rest there.

    An arm whose joints are all there already stays. free: around whatever is in the way; otherwise straight in joint
    space. pace: share of the planner's speed. holding: whether the gripper that has the thing must not close entirely
    meanwhile. settle_s: how long to wait there.
    """

    stage: str
    goal: FloatArray
    free: bool = False
    pace: float = 1.0
    holding: bool = False
    settle_s: float = 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Motion:
    """Legs, one after the other. Sent back: the measured joints (n,) rad at the end; thrown: Interrupted.

    table: what was seen, and what the motion is planned around but for `thing`, the number of what it is about, if any.
    carrier: number of the hand that has it, None while it stands on the table. watched: whether to break off when the
    thing turns out to be elsewhere.
    """

    legs: tuple[Leg, ...]
    table: Tabletop
    thing: int | None = None
    carrier: int | None = None
    watched: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Follow:
    """Turn to `goal` (n,) rad from the motion that is under way. Sent back: the next Tabletop that is seen."""

    stage: str
    goal: FloatArray


Action = Look | Motion | Follow
Routine = Generator[Action, "Tabletop | FloatArray", None]


class Surroundings(Protocol):
    """What a motion must not touch; see sim/planning_scene.py."""

    def show(
        self,
        table: Tabletop,
        *,
        ignored: Collection[int] = (),
        ignored_places: Collection[str] = (),
        carried: Mapping[int, int] | None = None,
        q: FloatArray | None = None,
    ) -> None:
        """Put what is on `table` where it is; carried: arm number -> number of the thing in its hand at `q` (n,)."""

    def near(self, q: FloatArray) -> Near:
        """Return who is nearest to being too near at joints `q` (n,) rad."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Means:
    """What a routine works with. iks: of each arm of `robot`."""

    robot: RobotConfig
    iks: Sequence[ArmIk]
    surroundings: Surroundings

    @cached_property
    def hands(self) -> tuple[Hand, ...]:
        """The hand of each arm."""
        return Hand.all_of(self.robot, self.iks)

    @property
    def hand(self) -> Hand:
        """The first hand, that of routines which need one only."""
        return self.hands[0]


RoutineOf = Callable[[Means, Order], Routine]
