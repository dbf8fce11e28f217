"""The poses through which an arm carries one thing to a place."""

from dataclasses import dataclass

import numpy as np

from so_arm_policy.control.grasp import OPEN_RAD, Grasp
from so_arm_policy.control.ik import ArmIk, wrapped
from so_arm_policy.control.tabletop import Tabletop
from so_arm_policy.core.arrays import FloatArray

HOVER_M = 0.06  # above the grasp
CARRY_Z_M = 0.09  # of the fingertip
DROP_M = {"bowl": 0.036, "plate": 0.005}  # between the floor of the place and the thing's lower side


@dataclass(frozen=True, kw_only=True, eq=False)
class Carrying:
    """Joints of the whole robot, (n,) rad each, in the order in which they come.

    hover: open above the thing; down: around it; grip: closed on it; lift: with it in the air; above: with it over its
    place; lowered: where it is let go; released: open there; away: open above.
    """

    hover: FloatArray
    down: FloatArray
    grip: FloatArray
    lift: FloatArray
    above: FloatArray
    lowered: FloatArray
    released: FloatArray
    away: FloatArray


def carrying(ik: ArmIk, table: Tabletop, number: int, place: str, grasp: Grasp, base: FloatArray) -> Carrying:
    """Return the poses that carry thing `number` to `place`, taken by `grasp`, with the arm of `ik` at `base` (3,) m.

    Raises InputError when one is out of reach, or the place is not seen.
    """
    thing = table.things[number]
    hang = float(grasp.point[2] - max(0.0, thing.position[2] - thing.half_height))
    floor = table.place(place)
    target = floor - base
    low = floor[2] + DROP_M[place] + hang
    solve = _Solver(ik, grasp, base)
    hover = solve.at(grasp.point + np.array([0.0, 0.0, HOVER_M]) - base, OPEN_RAD, rough=True)
    down = solve.at(grasp.point - base, OPEN_RAD)
    lift = solve.at(np.array([*(grasp.point - base)[:2], CARRY_Z_M]), grasp.closed, rough=True)
    # Over the place the wrist keeps the roll that it took the thing with: nothing turns on the way.
    above = solve.at(np.array([*target[:2], CARRY_Z_M]), grasp.closed, rough=True)
    lowered = solve.at(np.array([*target[:2], low]), grasp.closed, rough=True)
    return Carrying(
        hover=hover,
        down=down,
        grip=with_joint(down, ik.gripper, grasp.closed),
        lift=lift,
        above=above,
        lowered=lowered,
        released=with_joint(lowered, ik.gripper, OPEN_RAD),
        away=with_joint(above, ik.gripper, OPEN_RAD),
    )


class _Solver:
    """Joint poses with the gripper turned as one grasp needs it."""

    def __init__(self, ik: ArmIk, grasp: Grasp, base: FloatArray) -> None:
        self._ik = ik
        self._roll = wrapped(grasp.yaw - ik.facing(grasp.point - base))

    def at(self, point: FloatArray, gripper: float, *, rough: bool = False) -> FloatArray:
        """Return the pose with the fingertip at `point` in the base frame, and the wrist rolled as in the grasp."""
        q = self._ik.solve(point, self._ik.home, roll=self._roll, tolerance_m=5e-3 if rough else 2e-3)
        return with_joint(q, self._ik.gripper, gripper)


def with_joint(q: FloatArray, joint: int, value: float) -> FloatArray:
    """Return `q` (n,) rad with one joint at `value`."""
    out = np.array(q, dtype=np.float64)
    out[joint] = value
    return out
