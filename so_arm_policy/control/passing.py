"""The poses through which one arm takes a thing and hands it to another one in the air, that puts it to a place.

The giving hand comes to the meeting from above and holds the upper part, the taking one comes from its side and takes
the lower part, or the near end of a brick, between the same two sides.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from so_arm_policy.control.carrying import CARRY_Z_M, HOVER_M
from so_arm_policy.control.grasp import (
    GAP_AT_ZERO_M,
    GAP_PER_RAD_M,
    OPEN_RAD,
    TIP_FROM_FIXED_JAW_M,
    WIDEST_M,
    Grasp,
    find_grasps,
)
from so_arm_policy.control.hand import Hand, HandPose
from so_arm_policy.control.ik import wrapped
from so_arm_policy.control.in_hand import InHand, closed_on, half_along, in_hand
from so_arm_policy.control.tabletop import Tabletop, Thing
from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import InputError

# How far above its middle the giver holds each kind; how far below, and short of its middle, the taker does.
GIVER_ABOVE_M = {"cube": 0.009, "can": 0.012, "brick": 0.007}
TAKER_BELOW_M = {"cube": 0.008, "can": 0.010, "brick": 0.002}
TAKER_SHORT_M = {"cube": 0.003, "can": 0.0, "brick": 0.014}
SIDE_CLEARANCE_M = 0.003  # between the thing and the taker's fixed jaw: closing must not push it through the giver's
# Farther than a hand that takes a thing from the table: it may come to lie deep between the jaws, which are hollow.
TAKER_SQUEEZE_RAD = 0.16
BACK_M, APART_M = 0.07, 0.08  # where the taker waits, and where the giver goes
LIFT_M = 0.08
TIP_ABOVE_RIM_M, RAISED_M = 0.012, 0.03


@dataclass(frozen=True, kw_only=True)
class Meeting:
    """place: of the thing's middle, m; pitches: how far each hand points below the horizontal, rad.

    side: 1 where the taker's moving jaw is on its left, -1 on its right.
    """

    place: tuple[float, float, float]
    giver_pitch: float
    taker_pitch: float
    side: int


# Which arm is where does not matter: both bases are at x = 0, as far from y = 0 as the arms reach together.
_PLACES = ((0.22, 0.0, 0.12), (0.20, 0.02, 0.13), (0.22, -0.03, 0.12), (0.18, 0.0, 0.14))
_PITCHES = (75.0, 20.0), (85.0, 10.0), (65.0, 30.0)
MEETINGS = tuple(
    Meeting(place=place, giver_pitch=math.radians(down), taker_pitch=math.radians(level), side=side)
    for (down, level), place, side in itertools.product(_PITCHES, _PLACES, (1, -1))
)
_PLACING_PITCHES = tuple(math.radians(pitch) for pitch in (90.0, 65.0, 40.0))


Given = TypeVar("Given")
Made = TypeVar("Made")


@dataclass(frozen=True, kw_only=True, eq=False)
class Taking:
    """Joints of the whole robot, (n,) rad each, in order, with the other arm at home.

    hover: giver open above the thing; down: around it; grip: closed on it; lift: with it in the air. given: the thing
    in its hand.
    """

    hover: FloatArray
    down: FloatArray
    grip: FloatArray
    lift: FloatArray
    given: InHand


@dataclass(frozen=True, kw_only=True, eq=False)
class Passing:
    """Joints of the whole robot, (n,) rad each, in the order in which they come.

    meet: giver with the thing where the taker waits; around: taker open around it; taken: closed on it; freed: giver
    open; apart: giver drawn back; above: taker with it over its place, giver at home; lowered: where it is let go;
    released: open there; away: open above. there: the thing at the meeting.
    """

    meet: FloatArray
    around: FloatArray
    taken: FloatArray
    freed: FloatArray
    apart: FloatArray
    above: FloatArray
    lowered: FloatArray
    released: FloatArray
    away: FloatArray
    there: Thing


def takings(giver: Hand, table: Tabletop, number: int) -> Iterator[Taking]:
    """Yield ways in which the giver takes thing `number`, the best first. Raises InputError where there is none."""
    thing = table.things[number]
    yield from _those_in_reach(
        lambda grasp: _taking(giver, thing, grasp), find_grasps(table, number, giver.base, GIVER_ABOVE_M[thing.kind])
    )


def passings(giver: Hand, taker: Hand, taking: Taking, floor: FloatArray, drop_m: float) -> Iterator[Passing]:
    """Yield ways to bring what is taken so to `drop_m` above `floor` (3,) m, likely ones first. Raises InputError."""
    lowest = floor + np.array([0.0, 0.0, drop_m])
    yield from _those_in_reach(lambda meeting: _passing(_Pass(giver, taker, taking, meeting), lowest), MEETINGS)


def _those_in_reach(made: Callable[[Given], Made], choices: Iterable[Given]) -> Iterator[Made]:
    """Yield what can be made of `choices`; where nothing can, raise the first InputError."""
    unreachable: InputError | None = None
    found = False
    for choice in choices:
        try:
            made_of_it = made(choice)
        except InputError as error:
            unreachable = unreachable or error
            continue
        found = True
        yield made_of_it
    if not found and unreachable is not None:
        raise unreachable


@dataclass(frozen=True, eq=False)
class _Pass:
    """Who passes what where."""

    giver: Hand
    taker: Hand
    taking: Taking
    meeting: Meeting

    @property
    def middle(self) -> FloatArray:
        return np.array(self.meeting.place)

    @property
    def giver_roll(self) -> float:
        """Of the giver's wrist, rad: its jaws close along the line along which the taker's will."""
        across = self.taker.facing(self.middle) + math.pi / 2
        return math.remainder(across - self.giver.facing(self.middle), math.pi)


def _taking(giver: Hand, thing: Thing, grasp: Grasp) -> Taking:
    roll = wrapped(grasp.yaw - giver.facing(grasp.point))

    def at(height: float, gripper: float) -> FloatArray:
        point = grasp.point + np.array([0.0, 0.0, height])
        q = giver.solve(point, giver.ik.home, roll=roll, tolerance_m=5e-3 if height else 2e-3)
        return giver.gripping(q, gripper)

    down = at(0.0, OPEN_RAD)
    return Taking(
        hover=at(HOVER_M, OPEN_RAD),
        down=down,
        grip=giver.gripping(down, grasp.closed),
        lift=at(LIFT_M, grasp.closed),
        given=closed_on(thing, giver.pose(down)),
    )


def _passing(one: _Pass, lowest: FloatArray) -> Passing:
    giver, taker = one.giver, one.taker
    meet = _held_out(one)
    there = one.taking.given.at(giver.pose(meet))
    roll = _taker_roll(one, there, giver.pose(meet).jaws)
    ready, around = _around(one, there, roll, meet)
    taken = taker.gripping(around, _shut(there, taker.pose(around)))
    freed = giver.gripping(taken, OPEN_RAD)
    taken_up = in_hand(there, taker.pose(around))
    alone = giver.moved(taken, giver.gripping(giver.ik.home, OPEN_RAD))
    above, lowered = _over(taker, roll, taken_up, lowest, alone)
    return Passing(
        meet=taker.moved(meet, ready),
        around=around,
        taken=taken,
        freed=freed,
        apart=_apart(one, freed),
        above=above,
        lowered=lowered,
        released=taker.gripping(lowered, OPEN_RAD),
        away=taker.gripping(above, OPEN_RAD),
        there=there,
    )


def _held_out(one: _Pass) -> FloatArray:
    """Return the giver with the thing at the meeting, the taker at home."""
    giver, pitch, roll = one.giver, one.meeting.giver_pitch, one.giver_roll
    tip = one.middle - turned(giver.facing(one.middle), pitch, roll) @ one.taking.given.middle
    return giver.solve(tip, one.taking.lift, roll=roll, pitch=pitch)


def _apart(one: _Pass, freed: FloatArray) -> FloatArray:
    """Return the giver drawn back from the meeting."""
    hand = one.giver.pose(freed)
    back = hand.tip - APART_M * hand.ahead
    return one.giver.solve(back, freed, roll=one.giver_roll, pitch=one.meeting.giver_pitch, tolerance_m=0.01)


def _taker_roll(one: _Pass, there: Thing, jaws: FloatArray) -> float:
    """Return the roll of the taker's wrist with which its jaws close along those of the giver (3,), rad."""
    R = turned(one.taker.facing(there.position), one.meeting.taker_pitch, 0.0)
    sine, cosine = jaws @ R[:, 1], -jaws @ R[:, 0]
    sign = one.meeting.side * math.copysign(1.0, sine)
    return math.atan2(sign * sine, sign * cosine)


def _around(one: _Pass, there: Thing, roll: float, meet: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the taker waiting, and around the thing that is `there`, both open."""
    taker, pitch, kind = one.taker, one.meeting.taker_pitch, there.kind
    R = turned(taker.facing(there.position), pitch, roll)
    ahead, jaws = R[:, 2], -R[:, 0]
    tip = there.position - TAKER_SHORT_M[kind] * ahead - np.array([0.0, 0.0, TAKER_BELOW_M[kind]])
    tip = tip + jaws * (TIP_FROM_FIXED_JAW_M - half_along(there, jaws) - SIDE_CLEARANCE_M)
    start = taker.moved(meet, taker.ik.home)
    ready, around = (
        taker.gripping(taker.solve(point, start, roll=roll, pitch=pitch), OPEN_RAD)
        for point in (tip - BACK_M * ahead, tip)
    )
    return ready, around


def _shut(there: Thing, hand: HandPose) -> float:
    """Return the angle of a gripper that closes on a thing, rad. Raises InputError where it lies too wide in it."""
    width = 2 * half_along(there, hand.jaws)
    if width > WIDEST_M:
        got = f"{width * 1e3:.0f} mm of the {there.words} between the taker's jaws"
        raise InputError(f"hand over: got {got}, expected at most {WIDEST_M * 1e3:.0f} mm")
    return (width - GAP_AT_ZERO_M) / GAP_PER_RAD_M - TAKER_SQUEEZE_RAD


def _over(
    taker: Hand, roll: float, taken_up: InHand, lowest: FloatArray, start: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the taker with the thing over `lowest` (3,) m, and lowered to there. Raises InputError."""
    for pitch in _PLACING_PITCHES:
        hand = HandPose(R_world_hand=turned(taker.facing(lowest), pitch, roll), tip=lowest)
        thing = taken_up.at(hand)
        hangs = lowest[2] - thing.position[2] + half_along(thing, np.array([0.0, 0.0, 1.0]))
        low = 2 * lowest - thing.position
        low[2] = lowest[2] + max(hangs, TIP_ABOVE_RIM_M)
        high = np.array([*low[:2], max(CARRY_Z_M, low[2] + RAISED_M)])
        try:
            above, lowered = (taker.solve(p, start, roll=roll, pitch=pitch, tolerance_m=5e-3) for p in (high, low))
        except InputError as error:
            unreachable = error
        else:
            return above, lowered
    raise unreachable


def turned(facing: float, pitch: float, roll: float) -> FloatArray:
    """Return R_world_hand (3, 3) of a hand that faces `facing`, points `pitch` below the level, and is rolled, rad."""
    (cf, sf), (cp, sp), (cr, sr) = ((math.cos(a), math.sin(a)) for a in (facing, math.pi / 2 + pitch, -roll))
    about_z = np.array([[cf, -sf, 0.0], [sf, cf, 0.0], [0.0, 0.0, 1.0]])
    about_y = np.array([[cp, 0.0, sp], [0.0, 1.0, 0.0], [-sp, 0.0, cp]])
    rolled = np.array([[cr, -sr, 0.0], [sr, cr, 0.0], [0.0, 0.0, 1.0]])
    return about_z @ about_y @ rolled
