"""Where fingertips and things were, from what the joints and the simulator's states say."""

import mujoco
import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.sim.model import SceneIds, build_model


class Poses:
    """Forward kinematics of a whole scene. Not thread-safe."""

    def __init__(self, robot: RobotConfig) -> None:
        """Compile the model (about a second)."""
        self._model = build_model(robot)
        self._data = mujoco.MjData(self._model)
        self._ids = SceneIds.of(self._model)
        self._joints = np.array([self._model.joint(name).qposadr[0] for name in robot.joint_names])
        self._tips = [self._model.site(f"{arm.prefix}gripperframe").id for arm in robot.arms]

    @property
    def state_size(self) -> int:
        """Numbers in a state."""
        return int(self._model.nq)

    def fingertips(self, q: FloatArray) -> FloatArray:
        """Return the fingertips at each row of q (T, n) rad: (T, arms, 3) m, world frame."""
        found = np.zeros((len(q), len(self._tips), 3))
        for row, joints in zip(found, q, strict=True):
            self._data.qpos[self._joints] = joints
            mujoco.mj_kinematics(self._model, self._data)
            row[:] = self._data.site_xpos[self._tips]
        return found

    def joints(self, states: FloatArray) -> FloatArray:
        """Return the joints in states (S, nq): (S, n) rad."""
        return states[:, self._joints]

    def objects(self, states: FloatArray) -> FloatArray:
        """Return the middles of the objects in states (S, nq): (S, k, 3) m, world frame."""
        return np.stack([states[:, at : at + 3] for at in self._ids.qpos], axis=1)
