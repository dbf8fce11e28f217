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
# Forward of the gripper (site z) straight down, jaws opening sideways.
POINTING_DOWN = mink.SO3(np.array([0.0, 0.0, 1.0, 0.0]))


class ArmIk:
    """Finds joint angles that bring the fingertip to a point. Not thread-safe."""

    def __init__(self, model: mujoco.MjModel, robot: RobotConfig, prefix: str = "") -> None:
        """Use `model`, a compiled model of the arm alone, for the arm whose joints in `robot` start with `prefix`."""
        self.home = robot.home
        self._index = [i for i, name in enumerate(robot.joint_names) if name.startswith(prefix)]
        names = [robot.joint_names[i].removeprefix(prefix) for i in self._index]
        self._qpos = np.array([model.joint(name).qposadr[0] for name in names])
        self._configuration = mink.Configuration(model)
        self._task = mink.FrameTask(
            "gripperframe", "site", position_cost=1.0, orientation_cost=ORIENTATION_COST, lm_damping=1e-4
        )
        self._posture = mink.PostureTask(model, cost=POSTURE_COST)
        self._limits = [mink.ConfigurationLimit(model)]
        self._gripper = names.index("gripper")

    def solve(
        self, point: FloatArray, start: FloatArray, *, iterations: int = 60, tolerance_m: float = 1e-3
    ) -> FloatArray:
        """Return q (n,) rad with the fingertip at `point` (3,) m in the arm's base frame, near `start` (n,) rad.

        The gripper's own joint and other arms keep their values of `start`. Raises InputError where no iteration
        comes within `tolerance_m`.
        """
        target = vector(point, 3, "inverse kinematics target")
        configuration = self._configuration
        qpos = configuration.q.copy()
        qpos[self._qpos] = start[self._index]
        configuration.update(qpos)
        self._posture.set_target(qpos)
        self._task.set_target(mink.SE3.from_rotation_and_translation(_facing(target), target))
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
        q[self._index] = configuration.q[self._qpos]
        return q

    def fingertip(self) -> FloatArray:
        """Fingertip of the present solution in the arm's base frame, (3,) m."""
        return self._configuration.get_transform_frame_to_world("gripperframe", "site").translation()


def _facing(point: FloatArray) -> mink.SO3:
    """Straight down, turned with the direction of `point` so that the wrist need not roll."""
    return mink.SO3.from_z_radians(math.atan2(point[1], point[0])) @ POINTING_DOWN
