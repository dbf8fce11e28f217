"""Hand over: the first arm takes the thing and holds it out, the second one takes it there and puts it to its place."""

from collections.abc import Callable, Generator, Iterable
from dataclasses import replace
from typing import TypeVar

import numpy as np

from so_arm_policy.control.carrying import DROP_M
from so_arm_policy.control.grammar import Order, Said
from so_arm_policy.control.grasp import OPEN_RAD
from so_arm_policy.control.hand import Hand
from so_arm_policy.control.in_hand import with_thing
from so_arm_policy.control.passing import Passing, Taking, passings, takings
from so_arm_policy.control.planner.actions import Action, Interrupted, Leg, Means, Motion, Routine
from so_arm_policy.control.planner.look import find
from so_arm_policy.control.planner.put import DOWN_PACE, GRIP_S, RELEASE_S, TRIES, is_there
from so_arm_policy.control.tabletop import Tabletop
from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import InputError

W = TypeVar("W")
GIVER, TAKER = 0, 1
BETWEEN = (0.25, 0.5, 0.75)  # shares of a short straight motion at which it is looked at, too


def hand_over(means: Means, order: Order) -> Routine:
    """Do the one step of `order`; begun anew when the thing is missed or lost. Raises InputError after many tries."""
    (said,) = order.steps
    for _ in range(TRIES):
        try:
            if (yield from _hand_over_one(means, said)):
                return
        except Interrupted:
            yield from _home(means)
    raise InputError(f"hand over: got the {said.words} not to the {said.place} in {TRIES} tries, expected one to do")


def _hand_over_one(means: Means, said: Said) -> Generator[Action, Tabletop | FloatArray, bool]:
    """Try once. Returns whether the thing is in its place, as far as can be seen."""
    assert said.place is not None
    giver, taker = means.hands
    table = yield from find(means, said, said.place)
    number = table.find(said.color, said.kind)
    if is_there(table, number, said.place):
        return True
    taking, way = _ways(means, table, number, said.place)
    q = yield _take(taking, table, number)
    assert isinstance(q, np.ndarray)
    if not giver.holds(q, taking.grip):
        yield _back(means, table, number, (taking.down, taking.hover))
        return False
    q = yield _meet(taking, way, table, number)
    assert isinstance(q, np.ndarray)
    if not (giver.holds(q, way.taken) and taker.holds(q, way.taken)):
        # The giver puts it back, as it may still have it.
        back = (way.around, way.meet, taking.lift, taking.grip, taking.down, taking.hover)
        yield _back(means, table, number, back)
        return False
    yield _put_down(means, way, table, number)
    table = yield from find(means, said, said.place)
    return is_there(table, table.find(said.color, said.kind), said.place)


def _take(taking: Taking, table: Tabletop, number: int) -> Motion:
    """The giver takes the thing; meanwhile the taker goes to where it waits."""
    return Motion(
        legs=(
            Leg(stage="approach", goal=taking.hover, free=True),
            Leg(stage="descend", goal=taking.down, pace=DOWN_PACE),
            Leg(stage="grasp", goal=taking.grip, settle_s=GRIP_S),
        ),
        table=table,
        thing=number,
        watched=True,
    )


def _meet(taking: Taking, way: Passing, table: Tabletop, number: int) -> Motion:
    """The giver holds it out, and the taker closes on it."""
    return Motion(
        legs=(
            Leg(stage="lift", goal=taking.lift, holding=True),
            Leg(stage="meet", goal=way.meet, free=True, holding=True),
            Leg(stage="reach for it", goal=way.around, pace=DOWN_PACE, holding=True),
            Leg(stage="take", goal=way.taken, settle_s=GRIP_S, holding=True),
        ),
        table=table,
        thing=number,
        carrier=GIVER,
    )


def _put_down(means: Means, way: Passing, table: Tabletop, number: int) -> Motion:
    """The giver lets go and goes home; the taker carries the thing to its place."""
    giver, taker = means.hands
    table = with_thing(table, number, way.taken_up.at(taker.pose(way.taken)))
    home = taker.gripping(giver.gripping(means.robot.home, OPEN_RAD), OPEN_RAD)
    return Motion(
        legs=(
            Leg(stage="let go", goal=way.freed, settle_s=RELEASE_S, holding=True),
            Leg(stage="withdraw", goal=way.apart, pace=DOWN_PACE, holding=True),
            Leg(stage="carry", goal=way.above, free=True, holding=True),
            Leg(stage="lower", goal=way.lowered, holding=True),
            Leg(stage="release", goal=way.released, settle_s=RELEASE_S),
            Leg(stage="leave", goal=way.away),
            Leg(stage="return", goal=home),
        ),
        table=table,
        thing=number,
        carrier=TAKER,
    )


def _back(means: Means, table: Tabletop, number: int, goals: Iterable[FloatArray]) -> Motion:
    """Go back through `goals`, and home."""
    legs = [Leg(stage="missed", goal=goal) for goal in goals]
    return Motion(legs=(*legs, Leg(stage="missed", goal=means.robot.home, free=True)), table=table, thing=number)


def _home(means: Means) -> Generator[Action, Tabletop | FloatArray, None]:
    """Open both hands and go home from wherever they are, but for one that would still hold something up."""
    seen = Tabletop(things=(), places={})
    home = means.robot.home
    for hand in means.hands:
        home = hand.gripping(home, OPEN_RAD)
    yield Motion(legs=(Leg(stage="back", goal=home, free=True),), table=seen)


def _ways(means: Means, table: Tabletop, number: int, place: str) -> tuple[Taking, Passing]:
    """Return how to take the thing and how to pass it on: ways that touch nothing else, else the roomiest."""
    giver, taker = means.hands
    means.surroundings.show(table, ignored=(number,))
    taking = _clearest(means, takings(giver, table, number), lambda way: (way.hover, way.down))
    drop_m, floor = DROP_M[place], table.place(place)
    ways = (_from_start(taker, taking, way) for way in passings(giver, taker, taking, floor, drop_m))
    return _clearest(means, ways, lambda way: _poses(*way))


def _from_start(taker: Hand, taking: Taking, way: Passing) -> tuple[Taking, Passing]:
    """Return both, with the taker waiting from the first."""
    hover, down, grip, lift = (taker.moved(q, way.meet) for q in (taking.hover, taking.down, taking.grip, taking.lift))
    return replace(taking, hover=hover, down=down, grip=grip, lift=lift), way


def _poses(taking: Taking, way: Passing) -> list[FloatArray]:
    """Return where to look whether anything is near."""
    straight = [a + share * (b - a) for a, b in ((way.meet, way.around), (way.freed, way.apart)) for share in BETWEEN]
    return [taking.hover, taking.down, way.meet, way.around, way.freed, way.apart, way.above, *straight]


def _clearest(means: Means, ways: Iterable[W], poses: Callable[[W], Iterable[FloatArray]]) -> W:
    """Return the first way on which nothing is too near, else the roomiest."""
    best: tuple[float, W] | None = None
    for way in ways:
        room = min(means.surroundings.near(q).room_m for q in poses(way))
        if room > 0.0:
            return way
        if best is None or room > best[0]:
            best = room, way
    assert best is not None  # there is one, or InputError
    return best[1]
