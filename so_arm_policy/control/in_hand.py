"""A thing between the jaws: where it comes to be when they close, and where it is when the hand has moved."""

from dataclasses import dataclass, replace

import numpy as np

from so_arm_policy.control.grasp import TIP_FROM_FIXED_JAW_M
from so_arm_policy.control.hand import HandPose
from so_arm_policy.control.tabletop import Tabletop, Thing
from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.objects import HALF_SIZES


@dataclass(frozen=True, kw_only=True, eq=False)
class InHand:
    """A thing that goes with a hand. middle: (3,) m and R_hand_thing (3, 3), both in the hand's frame."""

    thing: Thing
    middle: FloatArray
    R_hand_thing: FloatArray

    def at(self, hand: HandPose) -> Thing:
        """Return the thing where the hand has it."""
        return replace(
            self.thing,
            position=hand.tip + hand.R_world_hand @ self.middle,
            R_world_thing=hand.R_world_hand @ self.R_hand_thing,
        )


def in_hand(thing: Thing, hand: HandPose) -> InHand:
    """Return how `hand` has `thing` when both are where they are told to be."""
    return InHand(
        thing=thing,
        middle=hand.R_world_hand.T @ (thing.position - hand.tip),
        R_hand_thing=hand.R_world_hand.T @ thing.R_world_thing,
    )


def closed_on(thing: Thing, hand: HandPose) -> InHand:
    """Return how `hand` has `thing` when it closes there: the moving jaw pushes it against the fixed one."""
    taken = in_hand(thing, hand)
    taken.middle[0] = TIP_FROM_FIXED_JAW_M - half_along(thing, hand.jaws)
    return taken


def half_along(thing: Thing, direction: FloatArray) -> float:
    """Half of the extent of `thing` along a unit vector (3,) of the world frame, m."""
    along, half = np.abs(thing.R_world_thing.T @ direction), HALF_SIZES[thing.kind]
    if thing.kind == "can":
        return float(half[0] * np.hypot(along[0], along[1]) + half[2] * along[2])
    return float(along @ half)


def with_thing(table: Tabletop, number: int, thing: Thing) -> Tabletop:
    """Return `table` with thing `number` replaced."""
    things = (*table.things[:number], thing, *table.things[number + 1 :])
    return Tabletop(things=things, places=table.places)
