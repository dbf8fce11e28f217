"""Injectors that many faults share: each changes one thing by a function, or moves the arm's goal by itself."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.core.values import JointSample, Proposal
from so_arm_policy.evaluate.faults.case import Injector, Now
from so_arm_policy.safety.values import TickInput

DT = 1.0 / CONTROL_HZ
STOPPED = 40  # ticks after a stop at which the arm stands for sure
PERIOD_NS = 1_000_000_000 // CONTROL_HZ
Change = Callable[[Now, Proposal], Proposal | None]


class Said(Injector):
    """Changes each proposal on its way, or drops it."""

    def __init__(self, change: Change) -> None:
        """change: returns what arrives, None for nothing."""
        self._change = change

    def arrive(self, now: Now, proposal: Proposal | None) -> list[Proposal]:
        """Change what was said."""
        changed = None if proposal is None else self._change(now, proposal)
        return [] if changed is None else [changed]


class SaidAgain(Injector):
    """From STOPPED on, when a reset may come, what was said before is said again, one proposal a tick."""

    def __init__(self, change: Callable[[Now, Proposal], Proposal]) -> None:
        """change: returns what arrives, made of what was said then."""
        self._change = change
        self._said: list[Proposal] = []

    def arrive(self, now: Now, proposal: Proposal | None) -> list[Proposal]:
        """Listen, then repeat."""
        if now.tick < STOPPED:
            self._said += [] if proposal is None else [proposal]
            return super().arrive(now, proposal)
        return [self._change(now, self._said[min(now.tick - STOPPED, len(self._said) - 1)])]


def stop_and_reset(now: Now, tick: TickInput) -> TickInput:
    """Press the emergency stop as the fault begins, and reset once the arm stands."""
    return replace(tick, estop="test" if now.tick == 0 else None, reset=now.tick == STOPPED)


class Measured(Injector):
    """Falsifies the measured state that the supervisor sees."""

    def __init__(self, change: Callable[[Now, JointSample], JointSample | None]) -> None:
        """change: returns what is measured, None for nothing."""
        self._change = change

    def see(self, now: Now, tick: TickInput) -> list[TickInput]:
        """Change what is measured."""
        return [replace(tick, sample=self._change(now, now.sample))]


class Ticked(Injector):
    """Changes the tick itself: its clocks, requests and faults; or leaves it out, or adds to it."""

    def __init__(self, change: Callable[[Now, TickInput], TickInput | list[TickInput] | None]) -> None:
        """change: returns one tick, several, or None for a supervisor that does not tick."""
        self._change = change

    def see(self, now: Now, tick: TickInput) -> list[TickInput]:
        """Change the tick."""
        changed = self._change(now, tick)
        if isinstance(changed, list):
            return changed
        return [] if changed is None else [changed]


class Built(Injector):
    """Changes the arm itself."""

    def __init__(self, change: Callable[[Now], None]) -> None:
        """change: called before each step of the physics."""
        self._change = change

    def plant(self, now: Now) -> None:
        """Change the arm."""
        self._change(now)


class Together(Injector):
    """Several injectors at once; what one returns, the next one changes."""

    def __init__(self, *parts: Injector) -> None:
        """parts: in the order in which they act."""
        self._parts = parts

    def begin(self, robot: RobotConfig) -> FloatArray | None:
        """Begin as the first part that has a wish."""
        return next((q for part in self._parts if (q := part.begin(robot)) is not None), None)

    def plant(self, now: Now) -> None:
        """Change the arm by all parts."""
        for part in self._parts:
            part.plant(now)

    def arrive(self, now: Now, proposal: Proposal | None) -> list[Proposal]:
        """Pass what arrives through all parts."""
        arrived = [] if proposal is None else [proposal]
        for part in self._parts:
            waiting: list[Proposal | None] = [*arrived] or [None]
            arrived = [p for one in waiting for p in part.arrive(now, one)]
        return arrived

    def see(self, now: Now, tick: TickInput) -> list[TickInput]:
        """Pass the ticks through all parts."""
        ticks = [tick]
        for part in self._parts:
            ticks = [t for one in ticks for t in part.see(now, one)]
        return ticks


class Drives(Injector):
    """Moves the arm by itself, in the name of the source, whatever that says."""

    def __init__(self, path: Callable[[Now], FloatArray], velocity: bool = True) -> None:
        """path: where to be in this tick, (n,) rad; called in every tick. velocity: say it too, by differences."""
        self._path, self._velocity = path, velocity
        self._q: FloatArray | None = None
        self._sequence = 1_000_000

    def arrive(self, now: Now, proposal: Proposal | None) -> list[Proposal]:
        """Say what the path wants."""
        q = np.array(self._path(now))
        dq = (q - (now.q0 if self._q is None else self._q)) / DT if self._velocity else None
        self._q, self._sequence = q, self._sequence + 1
        return [healthy(now, q, dq, now.source, self._sequence)]


class Leads(Drives):
    """Moves joints to a pose as a good source would: with bounded velocity, acceleration and jerk."""

    ACCELERATION = 7.0  # rad/s^2: a change from one end to the other within a tick stays below 2000 rad/s^3

    def __init__(self, pose: Callable[[Now], FloatArray], speed: float) -> None:
        """pose: where to, (n,) rad; speed: of each joint, rad/s."""
        super().__init__(self._next)
        self._pose, self._speed = pose, speed
        self._at: FloatArray | None = None
        self._v = np.zeros(0)

    def _next(self, now: Now) -> FloatArray:
        if self._at is None:
            self._at, self._v = now.q0, now.dq0
        room, change = self._pose(now) - self._at, self.ACCELERATION * DT
        # The velocity from which it can stop in time, in whole ticks.
        fastest = np.sqrt((change / 2.0) ** 2 + 2.0 * self.ACCELERATION * np.abs(room)) - change / 2.0
        wanted = np.sign(room) * np.minimum(self._speed, np.minimum(fastest, np.abs(room) / DT))
        self._v = np.clip(wanted, self._v - change, self._v + change)
        self._at = self._at + self._v * DT
        return self._at


def healthy(now: Now, q: FloatArray, dq: FloatArray | None, source: str, sequence: int) -> Proposal:
    """Return a proposal of now with nothing wrong but, perhaps, where it goes."""
    return Proposal(
        source=source,
        sequence=sequence,
        stamp_ns=now.now_ns,
        observation_stamp_ns=now.now_ns,
        received_ns=now.now_ns,
        joint_names=now.robot.joint_names,
        q=q,
        dq=dq,
    )


def put(values: FloatArray, joint: int, value: float) -> FloatArray:
    """Return a copy of `values` with one joint changed."""
    changed = np.array(values, dtype=np.float64)
    changed[joint] = value
    return changed


def said(**changes: Callable[[Now, Proposal], Any]) -> Callable[[], Injector]:
    """Return a maker of an injector that changes fields of every proposal, each by a function."""

    def change(now: Now, proposal: Proposal) -> Proposal:
        return replace(proposal, **{name: make(now, proposal) for name, make in changes.items()})

    return lambda: Said(change)
