"""Where things appear in the pictures of cameras that the arms carry, worked out from joint positions alone."""

import mujoco
import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.sim.model import build_model, camera_in


def hand_pixels(robot: RobotConfig, q: FloatArray, points: FloatArray) -> FloatArray:
    """Return where points (F, K, 3) m, world frame, appear to the hand cameras of `robot` at joints (F, n) rad.

    Column and row, 0..1 of the picture's size, (F, cameras, K, 2), of all cameras that arms carry, in their order;
    outside 0..1 or NaN where the picture does not show them. What the arm itself hides counts as shown.
    """
    model = build_model(robot)
    data = mujoco.MjData(model)
    cameras = [camera for camera in robot.cameras if camera.stand is None]
    joints = [model.joint(name).qposadr[0] for name in robot.joint_names]
    pixels = np.full((len(q), len(cameras), points.shape[1], 2), np.nan)
    for i, pose in enumerate(q):
        data.qpos[joints] = pose
        mujoco.mj_kinematics(model, data)
        mujoco.mj_camlight(model, data)
        for c, camera in enumerate(cameras):
            pixels[i, c] = camera_in(data, camera).shares(points[i])
    return pixels
