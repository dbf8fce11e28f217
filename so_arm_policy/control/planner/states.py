"""What a planner is at: one of these at any time, each with all that it needs and no more.

stage: what it is called in words. order: what it was told, of every one but Idle.
"""

from collections.abc import Callable
from dataclasses import dataclass

from so_arm_policy.control.grammar import Order
from so_arm_policy.control.motion.timed_path import TimedPath
from so_arm_policy.control.planner.actions import Action, Follow, Leg, Look, Motion
from so_arm_policy.core.arrays import FloatArray

NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Idle:
    """Nothing is to be done: any more, or yet."""

    stage: str = "idle"


@dataclass(frozen=True, kw_only=True)
class Told:
    """Just told: whatever is under way is broken off."""

    order: Order
    stage: str = "idle"


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """The routine begins at rest, and not before `until_ns`."""

    order: Order
    stage: str = "idle"
    until_ns: int = 0


@dataclass(frozen=True, kw_only=True)
class Thinking:
    """The desk works out what comes next, at rest or while the last Follow goes on.

    wanted: to be seen meanwhile. was_held: the arm was held since: what comes next is not for where it stands now.
    """

    order: Order
    stage: str
    wanted: frozenset[str] | None = NOTHING
    was_held: bool = False


@dataclass(frozen=True, kw_only=True)
class Braking:
    """On the way to rest; then the routine goes on with `resume`."""

    order: Order
    stage: str
    resume: Callable[[], Action]


@dataclass(frozen=True, kw_only=True, eq=False)
class Moving:
    """On the first of `legs`, which are still to be gone. motion: what was asked for, planned from `start` (n,) rad.

    since_ns: stamp of the last look. elsewhere: how often in succession the thing was seen where it was not before.
    """

    order: Order
    motion: Motion
    legs: tuple[tuple[Leg, TimedPath], ...]
    start: FloatArray
    since_ns: int
    elsewhere: int = 0

    @property
    def stage(self) -> str:
        """That of the leg."""
        return self.legs[0][0].stage

    @property
    def wanted(self) -> frozenset[str]:
        """Colours to look out for on this leg."""
        return colors(self.order) if self.motion.watched and self.legs[0][0].free else NOTHING


@dataclass(frozen=True, kw_only=True, eq=False)
class Watching:
    """At rest for a Look, or on the way of a Follow, until what was on the table at `since_ns` or later is seen.

    blind_s: for how many whole seconds nothing newer came, once that is too long; then the arm is at rest.
    """

    order: Order
    action: Look | Follow
    since_ns: int
    blind_s: int = 0

    @property
    def stage(self) -> str:
        """That of the action."""
        return self.action.stage

    @property
    def wanted(self) -> frozenset[str] | None:
        """Colours that matter; None for everything."""
        return None if self.blind_s or isinstance(self.action, Look) else colors(self.order)


@dataclass(frozen=True, kw_only=True, eq=False)
class Held:
    """The arm is held, by the supervisor or by a person, since `since_ns`, when it was sent to `sent` (n,) rad."""

    order: Order
    before: Thinking | Braking | Moving | Watching
    sent: FloatArray
    since_ns: int
    stage: str = "held"

    @property
    def wanted(self) -> frozenset[str] | None:
        """Where it looked at rest it goes on looking: it is still at rest."""
        return None if isinstance(self.before, Watching) and isinstance(self.before.action, Look) else NOTHING


Doing = Idle | Told | Waiting | Thinking | Braking | Moving | Watching | Held


def colors(order: Order) -> frozenset[str]:
    """Return the colours of what an order is about."""
    return frozenset(said.color for said in order.steps)
