"""Hand over: the first arm takes the thing and holds it out, the second one takes it there and puts it to its place."""

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, replace
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
from so_arm_policy.control.planner.put import DOWN_PACE, GRIP_S, RELEASE_S, TRIES, is_there, put_one
from so_arm_policy.control.tabletop import Tabletop, Thing
from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import InputError

W = TypeVar("W")
GIVER, TAKER = 0, 1
BETWEEN = (0.25, 0.5, 0.75)  # shares of a short straight motion at which it is looked at, too


def hand_over(means: Means, order: Order) -> Routine:
    """Do the one step of `order`; what is missed or lost is taken again. Raises InputError after many tries."""
    (said,) = order.steps
    _, taker = means.hands
    way = _Way(means, said)
    for _ in range(TRIES):
        try:
            # What the second arm had and lost, it can take itself, if it is in its reach.
            done = yield from put_one(means, said, taker) if way.passed else way.go()
        except Interrupted:
            continue
        except InputError:
            if not way.passed:
                raise
            way.passed = False
            continue
        if done:
            return
    raise InputError(f"hand over: got the {said.words} not to the {said.place} in {TRIES} tries, expected one to do")


class _Way:
    """One thing on its way. passed: whether the taker has had it alone."""

    def __init__(self, means: Means, said: Said) -> None:
        self._means, self._said = means, said
        self.passed = False

    def go(self) -> Generator[Action, Tabletop | FloatArray, bool]:
        """Try once. Returns whether the thing is in its place, as far as can be seen."""
        means, said = self._means, self._said
        assert said.place is not None
        giver, taker = means.hands
        table = yield from find(means, said, said.place)
        number = table.find(said.color, said.kind)
        if is_there(table, number, said.place):
            return True
        about = _About(means, table, number)
        taking, way = _ways(about, said.place)
        q = yield about.take(taking)
        assert isinstance(q, np.ndarray)
        if not giver.holds(q, taking.grip):
            yield about.back(taking.down, taking.hover)
            return False
        yield from about.safely(about.hold_out(taking, way))
        q = yield from about.safely(about.receive(way), way.around, way.meet)
        if not (giver.holds(q, way.taken) and taker.holds(q, way.taken)):
            # The giver puts it back, if it still has it.
            yield about.back(way.around, way.meet, taking.lift, taking.grip, taking.down, taking.hover)
            return False
        yield from about.safely(
            about.let_go(way), taker.gripping(way.apart, OPEN_RAD), taker.moved(way.apart, way.meet)
        )
        self.passed = True
        yield from about.safely(about.put_down(way))
        table = yield from find(means, said, said.place)
        return is_there(table, table.find(said.color, said.kind), said.place)


@dataclass(frozen=True, eq=False)
class _About:
    """Motions with thing `number` of `table`."""

    means: Means
    table: Tabletop
    number: int

    def take(self, taking: Taking) -> Motion:
        """The giver takes the thing; meanwhile the taker goes to where it waits."""
        legs = (
            Leg(stage="approach", goal=taking.hover, free=True),
            Leg(stage="descend", goal=taking.down, pace=DOWN_PACE),
            Leg(stage="grasp", goal=taking.grip, settle_s=GRIP_S),
        )
        return Motion(legs=legs, table=self.table, thing=self.number, watched=True)

    def hold_out(self, taking: Taking, way: Passing) -> Motion:
        """The giver brings it to where the taker waits."""
        return self._with(
            GIVER,
            taking.given.at(self.means.hands[GIVER].pose(taking.grip)),
            Leg(stage="lift", goal=taking.lift, holding=True),
            Leg(stage="hold out", goal=way.meet, free=True, holding=True),
        )

    def receive(self, way: Passing) -> Motion:
        """The taker comes and closes on it."""
        return self._with(
            GIVER,
            way.there,
            Leg(stage="come", goal=way.around, pace=DOWN_PACE, holding=True),
            Leg(stage="receive", goal=way.taken, settle_s=GRIP_S, holding=True),
        )

    def let_go(self, way: Passing) -> Motion:
        """The giver lets go and draws back."""
        return self._with(
            TAKER,
            way.there,
            Leg(stage="let go", goal=way.freed, settle_s=RELEASE_S, holding=True),
            Leg(stage="withdraw", goal=way.apart, pace=DOWN_PACE, holding=True),
        )

    def put_down(self, way: Passing) -> Motion:
        """The taker carries it to its place; the giver goes home."""
        return self._with(
            TAKER,
            way.there,
            Leg(stage="carry", goal=way.above, free=True, holding=True),
            Leg(stage="lower", goal=way.lowered, holding=True),
            Leg(stage="release", goal=way.released, settle_s=RELEASE_S),
            Leg(stage="leave", goal=way.away),
            Leg(stage="return", goal=self._home),
        )

    def back(self, *goals: FloatArray) -> Motion:
        """Go back through `goals`, straight, and home."""
        legs = tuple(Leg(stage="back", goal=goal) for goal in goals)
        return Motion(legs=(*legs, Leg(stage="back", goal=self._home, free=True)), table=self.table, thing=self.number)

    def safely(self, motion: Motion, *back: FloatArray) -> Generator[Action, Tabletop | FloatArray, FloatArray]:
        """Return the joints (n,) rad after `motion`; where it is interrupted, go back through `back` and home first."""
        try:
            q = yield motion
        except Interrupted:
            yield self.back(*back)
            raise
        assert isinstance(q, np.ndarray)
        return q

    def _with(self, carrier: int, thing: Thing, *legs: Leg) -> Motion:
        """Return a motion that begins with the thing where `thing` is, in the hand of `carrier`."""
        table = with_thing(self.table, self.number, thing)
        return Motion(legs=legs, table=table, thing=self.number, carrier=carrier)

    @property
    def _home(self) -> FloatArray:
        """All arms at home, all hands open."""
        q = self.means.robot.home
        for hand in self.means.hands:
            q = hand.gripping(q, OPEN_RAD)
        return q


def _ways(about: _About, place: str) -> tuple[Taking, Passing]:
    """Return how to take the thing and how to pass it on: ways that touch nothing else, else the roomiest."""
    means, table, number = about.means, about.table, about.number
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
