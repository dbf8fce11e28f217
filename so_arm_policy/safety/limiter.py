"""The limiter: how far the command may move in one tick. Works in moves per tick (rad), so no rule divides by a time.

A joint's move may change by `a dt^2` from one tick to the next, and that change by `j dt^3`; it may be as fast as it
can still come to rest before its position limit (safety/stopping.py), which in continuous time and without a jerk limit
is the envelope v <= sqrt(2 a room). A joint that brakes stays inside all this, so a legal move always exists.

Outside its position limits (only at the start, from where the arm happens to be) a joint may stand or move inward.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.safety.limits import Limits
from so_arm_policy.safety.stopping import all_given_up, slower, way_to_rest
from so_arm_policy.safety.values import Finding, Output

# Slack for rounding when a move is judged (never when one is chosen), rad.
ROUNDING = 1e-9
HALVINGS = 8  # of the gap between braking and the largest move, to find how near to its limit a joint may go


@dataclass(frozen=True, slots=True)
class Motion:
    """Where the command goes in this tick.

    output: the command there; target: (n,) rad, what was wanted, within position limits; margin: see Verdict;
    finding: the limit that changed the wish, None when it passed untouched.
    """

    output: Output
    target: FloatArray
    margin: float
    finding: Finding | None


def move(limits: Limits, now: Output, before: FloatArray | None, wish: FloatArray) -> Motion:
    """Move the command from `now` towards `wish` (n,) rad as far as the limits let it.

    A legal wish becomes the command itself, bit for bit. `before` is the previous wish: its motion is followed
    while the distance to it closes no faster than the joints can brake, so a clamped command does not overshoot.
    """
    box = _Box(limits, now)
    wanted = wish - now.q
    target = np.minimum(np.maximum(wish, box.lower), box.upper)
    margin = _margin(limits, now, wish, wanted)
    inside = bool((target == wish).all())
    if inside and box.holds(wanted):
        return Motion(now.moved(wish, wanted), wish, margin, None)
    finding = _finding(limits, box, wish, wanted)
    chosen = _scaled(box, _follow(limits, now.q, before, target))
    q = np.minimum(np.maximum(now.q + chosen, box.lower), box.upper)
    return Motion(now.moved(q, chosen), target, margin, finding)


def brake(limits: Limits, now: Output) -> Output:
    """Slow the command down as fast as the limits let it; at rest it stays where it is."""
    if now.resting:
        return now
    box = _Box(limits, now)
    return now.moved(np.minimum(np.maximum(now.q + box.brake, box.lower), box.upper), box.brake)


def parts(limits: Limits, now: Output, step: FloatArray, shares: Sequence[float]) -> list[Output]:
    """Return the commands after so much of the legal move `step` (n,) rad, counted from braking on: 0 only brakes."""
    box = _Box(limits, now)
    moves = [box.brake + (step - box.brake) * share for share in shares]
    return [now.moved(np.minimum(np.maximum(now.q + u, box.lower), box.upper), u) for u in moves]


def shortened(step: FloatArray, most: FloatArray) -> FloatArray:
    """Return `step` with all joints scaled together so that none moves more than `most`."""
    return step * float((most / np.maximum(np.abs(step), most)).min())


class _Box:
    """What each joint may do in this tick.

    lower, upper: positions, (n,) rad. low, high: smallest and largest move, (n,) rad, but for the way that a joint near
    a position limit needs to stop before it: `holds` and `allowed` see to that.
    """

    def __init__(self, limits: Limits, now: Output) -> None:
        self.limits, self.now = limits, now
        u, a, J = now.step, limits.acceleration_step, limits.jerk_step
        self.lower, self.upper = np.minimum(limits.lower, now.q), np.maximum(limits.upper, now.q)
        self.below, self.above = now.q - self.lower, self.upper - now.q
        # At a limit, or beyond it, no joint may be about to move outward.
        self.fastest_up = np.where(self.above > 0.0, limits.velocity_step, 0.0)
        self.fastest_down = np.where(self.below > 0.0, limits.velocity_step, 0.0)
        self.low = u + np.maximum(np.maximum(now.bend - J, -a), -all_given_up(self.fastest_down + u, J))
        self.high = u + np.minimum(np.minimum(now.bend + J, a), all_given_up(self.fastest_up - u, J))

    @cached_property
    def hardest(self) -> FloatArray:
        """The move of each joint on its own shortest way to rest, (n,) rad."""
        return np.array([self._slower(i) for i in range(len(self.low))])

    @cached_property
    def brake(self) -> FloatArray:
        """All joints slow down in the same proportion, which keeps the path, unless one cannot."""
        u, hardest = self.now.step, self.hardest
        moving = np.abs(u) > ROUNDING
        share = float((hardest[moving] / u[moving]).max()) if moving.any() else 0.0
        together = u * share
        return together if share >= 0.0 and self.holds(together) else hardest

    def holds(self, moves: FloatArray) -> bool:
        """Whether every joint may make its move."""
        if not bool(((moves >= self.low - ROUNDING) & (moves <= self.high + ROUNDING)).all()):
            return False
        return self.overshoot(moves) is None

    def overshoot(self, moves: FloatArray) -> int | None:
        """Return the joint that could not stop before a position limit after its move, or None."""
        return next((i for i in self.near_limits(moves) if not self._stops(i, float(moves[i]))), None)

    def near_limits(self, moves: FloatArray) -> list[int]:
        """Return the joints for which it is a question whether they stop in time; the others are far from any limit."""
        longest = self.limits.longest_stop
        near = (self.above - moves <= longest) & (self.fastest_up > 0.0)
        near |= (self.below + moves <= longest) & (self.fastest_down > 0.0)
        return list(near.nonzero()[0].tolist())

    def allowed(self, i: int, move: float) -> float:
        """Return what joint `i` may do of `move`, which lies in low..high: as much as lets it stop in time."""
        if self._stops(i, move):
            return move
        good, bad = float(self.hardest[i]), move
        for _ in range(HALVINGS):
            middle = (good + bad) / 2.0
            good, bad = (middle, bad) if self._stops(i, middle) else (good, middle)
        return good

    def _stops(self, i: int, move: float) -> bool:
        limits = self.limits
        ahead, back = way_to_rest(
            move, move - float(self.now.step[i]), float(limits.acceleration_step[i]), float(limits.jerk_step[i])
        )
        up = self.fastest_up[i] == 0.0 or move + ahead <= self.above[i] + ROUNDING
        return bool(up and (self.fastest_down[i] == 0.0 or back - move <= self.below[i] + ROUNDING))

    def _slower(self, i: int) -> float:
        limits, now = self.limits, self.now
        A, J = float(limits.acceleration_step[i]), float(limits.jerk_step[i])
        return slower(float(now.step[i]), float(now.bend[i]), A, J)


def _follow(limits: Limits, output: FloatArray, before: FloatArray | None, target: FloatArray) -> FloatArray:
    """Return the move that keeps up with the target and closes the distance to it; all joints scaled together."""
    behind = target - output if before is None else before - output
    close = behind * float(_stopping(limits.closing_step, np.abs(behind)).min())
    return close if before is None else close + shortened(target - before, limits.velocity_step)


def _stopping(a: FloatArray, room: FloatArray) -> FloatArray:
    """Return u / room for the largest move u that leaves enough room to stop: u + u^2 / (2 a) = room."""
    return 2.0 * a / (a + np.sqrt(a * (a + 2.0 * room)))


def _scaled(box: _Box, wanted: FloatArray) -> FloatArray:
    """Return the move nearest to `wanted` on the line from braking to it that lies in the box."""
    change = wanted - box.brake
    # Rounding must not make the box empty: braking is always allowed.
    edge = np.clip(wanted, np.minimum(box.low, box.brake), np.maximum(box.high, box.brake))
    for i in box.near_limits(edge):
        edge[i] = box.allowed(i, float(edge[i]))
    ratio = np.divide(edge - box.brake, change, out=np.ones_like(change), where=np.abs(change) > ROUNDING)
    return box.brake + change * min(1.0, max(0.0, float(ratio.min())))


def _margin(limits: Limits, now: Output, wish: FloatArray, wanted: FloatArray) -> float:
    bend = wanted - now.step
    position = (np.minimum(wish - limits.lower, limits.upper - wish) / limits.half_range).min()
    velocity = 1.0 - (np.abs(wanted) / limits.velocity_step).max()
    acceleration = 1.0 - (np.abs(bend) / limits.acceleration_step).max()
    jerk = 1.0 - (np.abs(bend - now.bend) / limits.jerk_step).max()
    return float(min(position, velocity, acceleration, jerk))


def _finding(limits: Limits, box: _Box, wish: FloatArray, wanted: FloatArray) -> Finding:
    """Name the first limit that the wish breaks, and the joint that breaks it most."""
    hz, now = limits.rate_hz, box.now
    outside = np.maximum(box.lower - wish, wish - box.upper)
    i = int(outside.argmax())
    if outside[i] > 0.0:
        return Finding(
            "limit.position",
            f"joint {limits.names[i]!r}: got {wish[i]:.4f} rad, expected {box.lower[i]:.4f}..{box.upper[i]:.4f}",
        )
    bend = wanted - now.step
    for code, got, most, unit, scale in (
        ("limit.velocity", wanted, limits.velocity_step, "rad/s", hz),
        ("limit.acceleration", bend, limits.acceleration_step, "rad/s^2", hz**2),
        ("limit.jerk", bend - now.bend, limits.jerk_step, "rad/s^3", hz**3),
    ):
        i = int((np.abs(got) - most).argmax())
        if abs(got[i]) > most[i] + ROUNDING:
            text = f"got {got[i] * scale:.4g} {unit}, expected at most {most[i] * scale:.4g}"
            return Finding(code, f"joint {limits.names[i]!r}: {text}")
    late = box.overshoot(wanted)
    what = "its position limit" if late is not None else "its velocity limit"
    i = late if late is not None else int(np.maximum(box.low - wanted, wanted - box.high).argmax())
    text = f"got {wanted[i] * hz:.3f} rad/s at {wish[i]:.4f} rad, expected to be able to stop before {what}"
    return Finding("limit.braking", f"joint {limits.names[i]!r}: {text}")
