"""The two-arm expert's way: the left arm takes an object, hands it to the right one in the air, that puts it down.

Both meet at the same poses for every object: the left gripper comes from above and holds the upper part, the right one
comes from its side and takes the lower part, or the near end of a brick, between the same two sides.
"""

import math
from collections.abc import Sequence

import numpy as np

from so_arm_policy.control.carrying import CARRY_Z_M, HOVER_M, with_joint
from so_arm_policy.control.grasp import OPEN_RAD, TIP_FROM_FIXED_JAW_M, find_grasp
from so_arm_policy.control.ik import ArmIk, wrapped
from so_arm_policy.control.passing import BACK_M, GIVER_ABOVE_M, SIDE_CLEARANCE_M, TAKER_BELOW_M
from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.sim.carry import LOST_M, MOVED_M
from so_arm_policy.sim.goal import Step
from so_arm_policy.sim.law import Plan
from so_arm_policy.sim.places import place_center
from so_arm_policy.sim.simulator import Simulator
from so_arm_policy.sim.truth import tabletop_of

LEFT, RIGHT = 0, 1
APPROACH, CLOSE, LIFT, MEET, COME, TAKE, LET_GO, WITHDRAW, CARRY, RELEASE, LEAVE = range(11)
MEETING = np.array([0.22, 0.0, 0.12])  # m, where the middle of the object goes
LEFT_PITCH, RIGHT_PITCH, RIGHT_ROLL = math.radians(75), math.radians(20), math.pi / 2
DROP_Z_M = 0.08
TAKER_SHORT_M = {"cube": 0.003, "can": -0.006, "brick": 0.014}  # of the middle, along where the right gripper points


def way_to_pass(iks: Sequence[ArmIk], simulator: Simulator, step: Step) -> Plan:
    """Return the way of both arms with the object of `step`. Raises InputError when something is out of reach."""
    left, right = iks[LEFT], iks[RIGHT]
    kind = simulator.scene.objects[step.object].kind
    base = np.array(simulator.robot.arms[LEFT].base_xyz)
    grasp = find_grasp(tabletop_of(simulator), step.object, base, GIVER_ABOVE_M[kind])
    roll = wrapped(grasp.yaw - left.facing(grasp.point - base))
    ready, there = _right_poses(simulator, right, kind, grasp.half)

    def at(height: float, gripper: float) -> FloatArray:
        point = grasp.point + np.array([0.0, 0.0, height]) - base
        return with_joint(left.solve(point, ready, roll=roll, tolerance_m=3e-3), left.gripper, gripper)

    hover, down = at(HOVER_M, OPEN_RAD), at(0.0, OPEN_RAD)
    grip, lift = with_joint(down, left.gripper, grasp.closed), at(0.08, grasp.closed)
    meet, retreat = _left_poses(simulator, left, kind, grasp.half, lift)
    near = _of_arm(there, meet, right)
    taken = with_joint(near, right.gripper, grasp.closed)
    free = with_joint(taken, left.gripper, OPEN_RAD)
    away = _of_arm(retreat, free, left)
    alone = _of_arm(left.home, taken, left)
    above, low = (_over_place(simulator, right, step, z, alone) for z in (DROP_Z_M + CARRY_Z_M / 2, DROP_Z_M))
    dropped = with_joint(low, right.gripper, OPEN_RAD)
    return Plan.of(
        [
            (hover, down, 0.012),
            (grip, grip, 0.02),
            (grip, lift, 0.10),
            (meet, meet, 0.012),
            (meet, near, 0.012),
            (taken, taken, 0.02),
            (free, free, 0.05),
            (away, alone, 0.30),
            (above, low, 0.04),
            (dropped, dropped, 0.05),
            (with_joint(above, right.gripper, OPEN_RAD), right.home, 0.0),
        ]
    )


def pass_astray(simulator: Simulator, step: Step, stage: int, seen: FloatArray) -> bool:
    """Whether the object was moved before it was taken, or lost since."""
    if stage == APPROACH:
        return float(np.linalg.norm(simulator.object_position(step.object) - seen[step.object])) > MOVED_M
    if stage in (LIFT, MEET, COME):
        return simulator.surface_distance(step.object, simulator.fingertip(LEFT)) > LOST_M
    if stage in (WITHDRAW, CARRY):
        return simulator.surface_distance(step.object, simulator.fingertip(RIGHT)) > LOST_M
    return False


def _directions(ik: ArmIk, base: FloatArray, pitch: float) -> tuple[FloatArray, FloatArray]:
    """Return where the arm's gripper points at the meeting, and the level direction across that, both (3,)."""
    facing = ik.facing(MEETING - base)
    ahead = np.array([math.cos(facing) * math.cos(pitch), math.sin(facing) * math.cos(pitch), -math.sin(pitch)])
    return ahead, np.array([-math.sin(facing), math.cos(facing), 0.0])


def _right_poses(simulator: Simulator, ik: ArmIk, kind: str, half: float) -> tuple[FloatArray, FloatArray]:
    """Return the right arm waiting for the object, and around it, both open; the left arm at home."""
    base = np.array(simulator.robot.arms[RIGHT].base_xyz)
    ahead, across = _directions(ik, base, RIGHT_PITCH)
    point = MEETING - ahead * TAKER_SHORT_M[kind] - np.array([0.0, 0.0, TAKER_BELOW_M[kind]])
    # The fixed jaw all but touches the object: closing must not push it through the other gripper.
    point = point + across * (TIP_FROM_FIXED_JAW_M - half - SIDE_CLEARANCE_M) * math.copysign(1.0, RIGHT_ROLL)
    poses = [
        ik.solve(p - base, ik.home, roll=RIGHT_ROLL, pitch=RIGHT_PITCH, tolerance_m=3e-3)
        for p in (point - ahead * BACK_M, point)
    ]
    ready, there = (with_joint(q, ik.gripper, OPEN_RAD) for q in poses)
    return ready, there


def _left_poses(
    simulator: Simulator, ik: ArmIk, kind: str, half: float, lift: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the left arm with the object at the meeting, and drawn back from there; the right arm as in `lift`."""
    base = np.array(simulator.robot.arms[LEFT].base_xyz)
    right_base = np.array(simulator.robot.arms[RIGHT].base_xyz)
    ahead, _ = _directions(ik, base, LEFT_PITCH)
    # The jaws close along the same line as those of the right gripper.
    taking = ik.facing(MEETING - right_base) + math.pi / 2
    roll = math.remainder(taking - ik.facing(MEETING - base), math.pi)
    yaw = roll + ik.facing(MEETING - base)
    jaws = np.array([math.cos(yaw), math.sin(yaw), 0.0])
    point = MEETING - ahead * GIVER_ABOVE_M[kind] + jaws * (TIP_FROM_FIXED_JAW_M - half)
    poses = [
        ik.solve(p - base, lift, roll=roll, pitch=LEFT_PITCH, tolerance_m=3e-3) for p in (point, point - ahead * 0.08)
    ]
    return poses[0], with_joint(poses[1], ik.gripper, OPEN_RAD)


def _over_place(simulator: Simulator, ik: ArmIk, step: Step, z: float, start: FloatArray) -> FloatArray:
    assert step.place is not None
    base = np.array(simulator.robot.arms[RIGHT].base_xyz)
    point = place_center(simulator.scene, step.place) - base
    point[2] = z
    return ik.solve(point, start, roll=RIGHT_ROLL, tolerance_m=5e-3)


def _of_arm(pose: FloatArray, other: FloatArray, ik: ArmIk) -> FloatArray:
    """Return `other` with the joints of the arm of `ik` as in `pose`."""
    out = np.array(other, dtype=np.float64)
    out[ik.joints] = pose[ik.joints]
    return out
