"""Inverse kinematics of one arm, by mink's differential IK on a model of the arm alone."""

import math

import mink
import mujoco
import numpy as np

from so_arm_policy.core.arrays import FloatArray, vector
from so_arm_policy.core.errors import InputError
from so_arm_policy.core.robot import RobotConfig

# The arm has five degrees of freedom: a stiffer wish for "straight down" keeps the position from converging.
ORIENTATION_COST = 0.02
POSTURE_COST = 1e-4
STEP_S = 0.1
LIMIT_MARGIN_RAD = 0.01  # room for whatever follows the pose and overshoots


class ArmIk:
    """Finds joint angles that bring the fingertip to a point. Not thread-safe."""

    def __init__(self, model: mujoco.MjModel, robot: RobotConfig, prefix: str = "") -> None:
        """Use `model`, a compiled model of the arm alone, for the arm whose joints in `robot` start with `prefix`.

        home: (n,) rad, of the whole robot; joints, gripper: numbers in it of the arm's joints, and of its gripper.
        """
        self.home = robot.home
        self._index = [i for i, name in enumerate(robot.joint_names) if name.startswith(prefix)]
        names = [robot.joint_names[i].removeprefix(prefix) for i in self._index]
        self._qpos = np.array([model.joint(name).qposadr[0] for name in names])
        self._lower = robot.lower[self._index] + LIMIT_MARGIN_RAD
        self._upper = robot.upper[self._index] - LIMIT_MARGIN_RAD
        self._configuration = mink.Configuration(model)
        self._task = mink.FrameTask(
            "gripperframe", "site", position_cost=1.0, orientation_cost=ORIENTATION_COST, lm_damping=1e-4
        )
        self._posture = mink.PostureTask(model, cost=POSTURE_COST)
        self._limits = [mink.ConfigurationLimit(model)]
        self._gripper = names.index("gripper")
        self._pan, self._roll = (self._qpos[names.index(name)] for name in ("shoulder_pan", "wrist_roll"))
        self._pan_axis = model.body("shoulder").pos[:2].copy()
        self._roll_range = model.joint("wrist_roll").range
        self.gripper = self._index[self._gripper]
        self.joints = np.array(self._index)

    def solve(
        self,
        point: FloatArray,
        start: FloatArray,
        *,
        roll: float | None = None,
        pitch: float = math.pi / 2,
        iterations: int = 60,
        tolerance_m: float = 1e-3,
    ) -> FloatArray:
        """Return q (n,) rad with the fingertip at `point` (3,) m in the arm's base frame, near `start` (n,) rad.

        The gripper points down as far as it can. roll: of the wrist, rad, for which pan and roll begin anew: seen from
        above, the direction from the fixed to the moving jaw less that in which the arm faces; by default such that the
        former is the direction of `point`. pitch: how far the gripper points below the horizontal, only with a roll.
        The gripper's own joint and other arms keep their values of `start`. Raises InputError where no iteration
        comes within `tolerance_m`.
        """
        target = vector(point, 3, "inverse kinematics target")
        configuration = self._configuration
        qpos = configuration.q.copy()
        qpos[self._qpos] = start[self._index]
        direction = math.atan2(target[1], target[0])
        if roll is not None:
            direction = self.facing(target)
            qpos[self._pan] = -direction
            qpos[self._roll] = np.clip(roll, *self._roll_range)
        configuration.update(qpos)
        self._posture.set_target(qpos)
        rotation = (
            mink.SO3.from_z_radians(direction)
            @ mink.SO3.from_y_radians(math.pi / 2 + pitch)
            @ mink.SO3.from_z_radians(-(roll or 0.0))
        )
        self._task.set_target(mink.SE3.from_rotation_and_translation(rotation, target))
        for _ in range(iterations):
            velocity = mink.solve_ik(
                configuration, [self._task, self._posture], STEP_S, "daqp", damping=1e-5, limits=self._limits
            )
            velocity[self._qpos[self._gripper]] = 0.0
            configuration.integrate_inplace(velocity, STEP_S)
            if np.abs(velocity).max() < 1e-3:
                break
        error = float(np.linalg.norm(self.fingertip() - target))
        if not error <= tolerance_m:
            raise InputError(
                f"inverse kinematics: came within {error * 1e3:.1f} mm of {np.round(target, 3).tolist()}, "
                f"expected {tolerance_m * 1e3:.1f} mm"
            )
        q = np.array(start, dtype=np.float64)
        q[self._index] = np.clip(configuration.q[self._qpos], self._lower, self._upper)
        return q

    def frame(self, q: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return R_base_hand (3, 3) and the fingertip (3,) m in the arm's base frame, with the robot at q (n,) rad.

        The hand's z axis points out of it, its -x axis from the fixed to the moving jaw.
        """
        qpos = self._configuration.q.copy()
        qpos[self._qpos] = q[self._index]
        self._configuration.update(qpos)
        hand = self._configuration.get_transform_frame_to_world("gripperframe", "site")
        return hand.rotation().as_matrix(), hand.translation()

    def facing(self, point: FloatArray) -> float:
        """Direction in which the arm faces when its fingertip is at `point` (3,) m, rad, in its base frame."""
        return math.atan2(point[1] - self._pan_axis[1], point[0] - self._pan_axis[0])

    def fingertip(self) -> FloatArray:
        """Fingertip of the present solution in the arm's base frame, (3,) m."""
        return self._configuration.get_transform_frame_to_world("gripperframe", "site").translation()


def wrapped(angle: float) -> float:
    """Return `angle` as one of -pi..pi."""
    return math.remainder(angle, 2 * math.pi)
