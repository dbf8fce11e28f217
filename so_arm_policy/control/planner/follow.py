"""Reach and track: go above a thing, down to it, and stay with it wherever it goes."""

from collections.abc import Generator

import numpy as np

from so_arm_policy.control.grammar import Order, Said
from so_arm_policy.control.planner.actions import Action, Follow, Leg, Means, Motion, Routine
from so_arm_policy.control.planner.look import find
from so_arm_policy.control.tabletop import Tabletop
from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import InputError

HOVER_M = 0.06  # above the top of the thing
TOUCH_M = 0.009
TRACK_M = 0.02  # not to push what moves
FAR_M = 0.08  # a thing that is seen so far off is gone to from above
SAME_M = 0.03  # what is seen of its colour so near to where it was is the thing, whatever kind it is taken for
STILL_M = 0.002  # a thing that is seen within that has not moved


def reach(means: Means, order: Order) -> Routine:
    """Touch the thing from above, and stay there."""
    return _stay(means, order, TOUCH_M)


def track(means: Means, order: Order) -> Routine:
    """Stay just above the thing."""
    return _stay(means, order, TRACK_M)


def _stay(means: Means, order: Order, above_m: float) -> Routine:
    (said,) = order.steps
    while True:
        table = yield from find(means, said)
        number = table.find(said.color, said.kind)
        hover, down = (_over(means, table, number, height, means.robot.home) for height in (HOVER_M, above_m))
        legs = (Leg(stage="approach", goal=hover, free=True), Leg(stage="descend", goal=down))
        yield Motion(legs=legs, table=table, thing=number)
        yield from _followed(means, said, table.things[number].position, down, above_m)


def _followed(
    means: Means, said: Said, at: FloatArray, down: FloatArray, above_m: float
) -> Generator[Action, Tabletop | FloatArray, None]:
    """Stay with a thing that was last seen `at` (3,) m. Returns when it is seen too far off to follow it down there."""
    while True:
        seen = yield Follow(stage="stay", goal=down)
        assert isinstance(seen, Tabletop)
        try:
            near = seen.nearest(said.color, said.kind, at, SAME_M)
            number = seen.find(said.color, said.kind) if near is None else near
            moved = float(np.linalg.norm(seen.things[number].position - at))
            if moved > FAR_M:
                return
            if moved > STILL_M:
                down = _over(means, seen, number, above_m, down)
                at = seen.things[number].position
        except InputError:
            continue  # hidden by the hand, or out of reach: stay where it was last


def _over(means: Means, table: Tabletop, number: int, height: float, start: FloatArray) -> FloatArray:
    """Return the pose (n,) rad with the fingertip `height` m above the top of a thing. Raises InputError."""
    thing = table.things[number]
    above = np.array([0.0, 0.0, thing.half_height + height])
    return means.hand.solve(thing.position + above, start, tolerance_m=4e-3)
