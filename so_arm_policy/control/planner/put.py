"""Put: take each thing by friction, carry it to its place, let it go; look whether it came there, else once more."""

from collections.abc import Generator
from dataclasses import replace

import numpy as np

from so_arm_policy.control.carrying import Carrying, carrying
from so_arm_policy.control.grammar import Order, Said
from so_arm_policy.control.grasp import OPEN_RAD, find_grasps
from so_arm_policy.control.hand import Hand
from so_arm_policy.control.motion.clear import Near
from so_arm_policy.control.planner.actions import Action, Interrupted, Leg, Means, Motion, Routine
from so_arm_policy.control.planner.look import find
from so_arm_policy.control.tabletop import Tabletop
from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import InputError

TRIES = 6  # of one thing
THERE_M = 0.045  # from the middle of its place: what is farther out is not in it
GRIP_S, RELEASE_S = 0.15, 0.05
DOWN_PACE = 0.5


def put(means: Means, order: Order) -> Routine:
    """Do each step of `order`; a thing that is lost or missed is taken again. Raises InputError after many tries."""
    for said in order.steps:
        for _ in range(TRIES):
            try:
                if (yield from put_one(means, said, means.hand)):
                    break
            except Interrupted:
                continue
        else:
            raise InputError(f"put: got the {said.words} not to the {said.place} in {TRIES} tries, expected one to do")


def with_same_grip(hand: Hand, leg: Leg, q: FloatArray) -> Leg:
    """Return a leg on which `hand` holds something, to be gone with its gripper as it is at q (n,) rad."""
    return replace(leg, goal=hand.gripping(leg.goal, float(q[hand.ik.gripper]))) if leg.holding else leg


def is_there(table: Tabletop, number: int, place: str) -> bool:
    """Whether a thing is seen in its place."""
    x, y, _ = table.things[number].position - table.place(place)
    return bool(np.hypot(x, y) <= THERE_M)


def put_one(means: Means, said: Said, hand: Hand) -> Generator[Action, Tabletop | FloatArray, bool]:
    """Try once, with one hand. Returns whether the thing is in its place, as far as can be seen."""
    assert said.place is not None
    table = yield from find(means, said, said.place)
    number = table.find(said.color, said.kind)
    if is_there(table, number, said.place):
        return True
    poses = _reachable(means, hand, table, number, said.place)
    q = yield Motion(
        legs=(
            Leg(stage="approach", goal=poses.hover, free=True),
            Leg(stage="descend", goal=poses.down, pace=DOWN_PACE),
            Leg(stage="grasp", goal=poses.grip, settle_s=GRIP_S),
        ),
        table=table,
        thing=number,
        watched=True,
    )
    assert isinstance(q, np.ndarray)
    if not hand.holds(q, poses.grip):
        back = (poses.down, poses.hover, means.robot.home)
        yield Motion(legs=tuple(Leg(stage="missed", goal=goal) for goal in back), table=table, thing=number)
        return False
    yield Motion(
        legs=(
            Leg(stage="lift", goal=poses.lift, holding=True),
            Leg(stage="carry", goal=poses.above, free=True, holding=True),
            Leg(stage="lower", goal=poses.lowered, holding=True),
            Leg(stage="release", goal=poses.released, settle_s=RELEASE_S),
            Leg(stage="leave", goal=poses.away),
            Leg(stage="return", goal=hand.gripping(means.robot.home, OPEN_RAD)),
        ),
        table=table,
        thing=number,
        carrier=hand.number,
    )
    table = yield from find(means, said, said.place)
    return is_there(table, table.find(said.color, said.kind), said.place)


def _reachable(means: Means, hand: Hand, table: Tabletop, number: int, place: str) -> Carrying:
    """Return the poses of the best grasp that can be reached and touches nothing else, else of the roomiest."""
    means.surroundings.show(table, ignored=(number,))
    best: tuple[float, Carrying] | None = None
    unreachable: InputError | None = None
    for grasp in find_grasps(table, number, hand.base):
        try:
            poses = carrying(hand.ik, table, number, place, grasp, hand.base)
        except InputError as error:
            unreachable = error
            continue
        barred = _barred(means, poses)
        if barred is not None:
            unreachable = InputError(f"put: got a way through a keep-out volume, expected a free one: {barred}")
            continue
        room = min(means.surroundings.near(q).room_m for q in (poses.hover, poses.down))
        if room > 0.0:
            return poses
        if best is None or room > best[0]:
            best = room, poses
    if best is None:
        assert unreachable is not None
        raise unreachable
    return best[1]


def _barred(means: Means, poses: Carrying) -> Near | None:
    """Return who comes too near to a keep-out volume at one of the poses, if anybody does."""
    if means.surroundings.near(poses.hover).kept_out is None:
        return None
    ways = (poses.hover, poses.down, poses.lift, poses.above, poses.lowered)
    return next((near.barred for q in ways if (near := means.surroundings.near(q)).barred is not None), None)
