"""How the SO-101's gripper takes an object from above: which way it turns, where it goes, how far it opens and closes.

One jaw is fixed, the other turns; numbers in the gripper's frame are from its model. The gap between the tips is
close to linear in the joint's angle up to 5 cm.
"""

import math
from dataclasses import dataclass

import numpy as np

from so_arm_policy.control.ik import wrapped
from so_arm_policy.control.tabletop import Tabletop, Thing
from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import InputError
from so_arm_policy.core.objects import HALF_SIZES

OPEN_RAD = 0.45
SQUEEZE_RAD = 0.10
WIDEST_M = 0.036
GAP_AT_ZERO_M, GAP_PER_RAD_M = 0.0163, 0.0785
TIP_FROM_FIXED_JAW_M = 0.0201  # the fingertip frame is this far from the fixed jaw, towards the moving one
LOWEST_M, HIGHEST_M = 0.012, 0.018
JAW_THICKNESS_M = 0.012
CLEARANCE_M = 0.010
MOST_ROLL_RAD = 2.6


@dataclass(frozen=True, eq=False)
class Grasp:
    """One way to take an object, in the world frame.

    point: where the fingertip goes, (3,) m; yaw: from the fixed to the moving jaw, rad; closed: command of the closed
    gripper, rad; half: half of the object's width between the jaws, m.
    """

    point: FloatArray
    yaw: float
    closed: float
    half: float


def gap(angle: float) -> float:
    """Distance between the tips at a gripper angle, m."""
    return GAP_AT_ZERO_M + GAP_PER_RAD_M * angle


def find_grasp(table: Tabletop, number: int, base: FloatArray, above_m: float | None = None) -> Grasp:
    """Return the best of `find_grasps`."""
    return find_grasps(table, number, base, above_m)[0]


def find_grasps(table: Tabletop, number: int, base: FloatArray, above_m: float | None = None) -> list[Grasp]:
    """Return the grasps of thing `number` for an arm with its base at (3,) m, the best first, in the world frame.

    The jaws close along a horizontal axis of the thing, best the one that turns the wrist least and keeps clear of the
    others. above_m: how far above the middle they hold it; by default low, so that tall ones do not tip over.
    Raises InputError where no side is narrow enough.
    """
    thing = table.things[number]
    facing = math.atan2(thing.position[1] - base[1], thing.position[0] - base[0])
    found: list[tuple[float, Grasp]] = []
    for direction, half in _sides(thing, facing):
        for yaw in (direction, direction + math.pi):
            roll = abs(wrapped(yaw - facing))
            crowded = max(0.0, CLEARANCE_M - _clearance(table, number, yaw)) / CLEARANCE_M
            cost = roll + 20.0 * crowded + 100.0 * (roll > MOST_ROLL_RAD)
            found.append((cost, _grasp(thing, yaw, half, above_m)))
    if not found:
        raise InputError(f"grasp: got a {thing.words} with no side below {WIDEST_M} m, expected a narrower one")
    return [grasp for _, grasp in sorted(found, key=lambda pair: pair[0])]


def _grasp(thing: Thing, yaw: float, half: float, above_m: float | None) -> Grasp:
    center = thing.position
    along = np.array([math.cos(yaw), math.sin(yaw), 0.0])
    point = center + along * (TIP_FROM_FIXED_JAW_M - gap(OPEN_RAD) / 2)
    low = np.clip(center[2], LOWEST_M, max(HIGHEST_M, center[2] - 0.006))
    point[2] = low if above_m is None else center[2] + above_m
    closed = (2 * half - GAP_AT_ZERO_M) / GAP_PER_RAD_M - SQUEEZE_RAD
    return Grasp(point, wrapped(yaw), closed, half)


def _sides(thing: Thing, facing: float) -> list[tuple[float, float]]:
    """Return horizontal directions along which jaws may close, rad, each with half of the object's width there, m."""
    kind, R_world_thing = thing.kind, thing.R_world_thing
    upright = int(np.argmax(np.abs(R_world_thing[2])))
    if kind == "can" and upright == 2:
        return [(facing + turn, HALF_SIZES[kind][0]) for turn in (0.0, 0.4, -0.4, 0.8, -0.8, 1.2, -1.2)]
    sides = []
    for axis in range(3):
        if axis == upright or 2 * HALF_SIZES[kind][axis] > WIDEST_M:
            continue
        x, y, _ = R_world_thing[:, axis]
        sides.append((math.atan2(y, x), HALF_SIZES[kind][axis]))
    return sides


def _clearance(table: Tabletop, number: int, yaw: float) -> float:
    """Distance from the open jaws' outsides to the nearest other object, m."""
    center = table.things[number].position
    along = np.array([math.cos(yaw), math.sin(yaw), 0.0])
    reach = gap(OPEN_RAD) / 2 + JAW_THICKNESS_M
    distances = [1.0]
    for other, thing in enumerate(table.things):
        if other == number:
            continue
        for side in (-reach, reach):
            point = center + side * along
            point[2] = thing.position[2]
            distances.append(thing.surface_distance(point))
    return min(distances)
