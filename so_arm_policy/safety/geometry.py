"""Rule 7, geometry: the arm stays clear of itself, the table, the other arm and keep-out volumes, also while it brakes.

Where the command would come to rest if it braked from now on is asked for at every tick. A move after which that place
is too near to something is shortened towards braking: so the arm gets slower the nearer it comes, as v <= sqrt(2 a d)
with d the way left, and stands before it touches. Who is too near already may move away.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.safety import limiter
from so_arm_policy.safety.case import Setup
from so_arm_policy.safety.limits import Limits
from so_arm_policy.safety.stopping import way_to_rest
from so_arm_policy.safety.values import Finding, Output

SHARES = (0.75, 0.5, 0.25, 0.0)  # of a move that is too far, from braking on
AWAY_M = 1e-5  # nearer than before by less is not nearer


class Gap(Protocol):
    """The nearest pair of one kind: distance_m (negative: in each other) between `first` and `second`."""

    @property
    def kind(self) -> str:
        """What the two are to each other: self, table, arms, hands or keep_out."""
        ...

    @property
    def distance_m(self) -> float:
        """How far they are apart, m."""
        ...

    @property
    def first(self) -> str:
        """A link of an arm."""
        ...

    @property
    def second(self) -> str:
        """A link, or a thing."""
        ...


class Clearance(Protocol):
    """Knows the shapes of the arms and of what stands around them."""

    def nearest(self, q: FloatArray) -> Sequence[Gap]:
        """Return the nearest pair of each kind at joints `q` (n,) rad."""
        ...


def keep_clear(setup: Setup, clearance: Clearance, now: Output, motion: limiter.Motion) -> limiter.Motion:
    """Return `motion` where its braking path is clear, else as much of it as is."""
    finding = _too_near(setup, clearance, now, motion.output)
    if finding is None:
        return motion
    parts = limiter.parts(setup.limits, now, motion.output.step, SHARES)
    clear = (part for part in parts if _too_near(setup, clearance, now, part) is None)
    return replace(motion, output=next(clear, parts[-1]), finding=finding)


def resting_place(limits: Limits, now: Output) -> FloatArray:
    """Return where a command that brakes from now on comes to rest, its path kept, (n,) rad."""
    moving = np.abs(now.step) > limiter.ROUNDING
    if not moving.any():
        return now.q
    longest = 0.0
    for i in moving.nonzero()[0].tolist():
        u, a = float(now.step[i]), float(now.bend[i])
        ahead, back = way_to_rest(u, a, float(limits.acceleration_step[i]), float(limits.jerk_step[i]))
        longest = max(longest, (ahead if u > 0.0 else back) / abs(u))
    return now.q + now.step * longest


def _too_near(setup: Setup, clearance: Clearance, now: Output, then: Output) -> Finding | None:
    """Return what `then` would bring too near, there or where it comes to rest, and nearer than it is now."""
    least = setup.least_clearance
    before: dict[str, float] = {}
    rest = resting_place(setup.limits, then)
    for q in (then.q, rest) if rest is not then.q else (then.q,):
        for gap in clearance.nearest(q):
            if gap.distance_m < least[gap.kind]:
                before = before or {g.kind: g.distance_m for g in clearance.nearest(now.q)}
                if gap.distance_m < before[gap.kind] - AWAY_M:
                    text = f"{gap.first} and {gap.second}: would stop {gap.distance_m * 1000:.1f} mm apart"
                    return Finding(f"geometry.{gap.kind}", f"{text}, expected {least[gap.kind] * 1000:.1f}")
    return None
