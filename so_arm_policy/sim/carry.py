"""The expert's way of carrying one object to a place: approach, close, lift, carry, release, leave."""

import numpy as np

from so_arm_policy.control.grasp import OPEN_RAD, Grasp, find_grasp
from so_arm_policy.control.ik import ArmIk, wrapped
from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.sim.goal import Step
from so_arm_policy.sim.law import Plan
from so_arm_policy.sim.places import FLOOR_M, let_go, lies_in, place_center
from so_arm_policy.sim.simulator import Simulator
from so_arm_policy.sim.truth import tabletop_of

APPROACH, CLOSE, LIFT, CARRY, RELEASE, LEAVE = range(6)
HOVER_M = 0.06  # above the grasp
CARRY_Z_M = 0.09  # of the fingertip
DROP_M = {"bowl": 0.036, "plate": 0.005}  # between the floor of the place and the object's lower side
MOVED_M = 0.008
LOST_M = 0.02


def way_to_place(ik: ArmIk, simulator: Simulator, step: Step, arm: int = 0) -> Plan:
    """Return the way of arm number `arm` to put an object to its place. Raises InputError when out of reach."""
    assert step.place is not None
    base = np.array(simulator.robot.arms[arm].base_xyz)
    grasp = find_grasp(tabletop_of(simulator), step.object, base)
    center = simulator.object_position(step.object)
    hang = float(grasp.point[2] - max(0.0, center[2] - simulator.half_height(step.object)))
    target = place_center(simulator.scene, step.place) - base
    low = FLOOR_M[step.place] + DROP_M[step.place] + hang
    solve = _Solver(ik, grasp, base)
    hover = solve.at(grasp.point + np.array([0.0, 0.0, HOVER_M]) - base, OPEN_RAD, rough=True)
    down = solve.at(grasp.point - base, OPEN_RAD)
    lift_z = np.array([*(grasp.point - base)[:2], CARRY_Z_M])
    lift = solve.at(lift_z, grasp.closed, rough=True)
    # Over the place the wrist keeps the roll that it took the object with: nothing turns on the way.
    above = solve.at(np.array([*target[:2], CARRY_Z_M]), grasp.closed, rough=True)
    lowered = solve.at(np.array([*target[:2], low]), grasp.closed, rough=True)
    grip = with_joint(down, ik.gripper, grasp.closed)
    released = with_joint(lowered, ik.gripper, OPEN_RAD)
    return Plan.of(
        [
            (hover, down, 0.012),
            (grip, grip, 0.02),
            (grip, lift, 0.12),
            (above, lowered, 0.03),
            (released, released, 0.05),
            (with_joint(above, ik.gripper, OPEN_RAD), ik.home, 0.0),
        ]
    )


def astray(simulator: Simulator, step: Step, stage: int, seen: FloatArray, arm: int = 0) -> bool:
    """Whether a way made when the objects stood at `seen` (k, 3) m is of no use any more."""
    assert step.place is not None
    if stage == APPROACH:
        return float(np.linalg.norm(simulator.object_position(step.object) - seen[step.object])) > MOVED_M
    if stage in (LIFT, CARRY):
        return simulator.surface_distance(step.object, simulator.fingertip(arm)) > LOST_M
    return False


def missed(simulator: Simulator, step: Step) -> bool:
    """Whether the object of `step` is not in its place, or still between fingers there."""
    assert step.place is not None
    return not (lies_in(simulator, step.object, step.place) and let_go(simulator, step.object))


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
