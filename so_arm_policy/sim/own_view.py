"""Where the robot is, from joint positions alone: what of a picture it hides, and the cameras that it carries."""

import cv2
import mujoco
import numpy as np

from so_arm_policy.core.arrays import BoolArray, FloatArray
from so_arm_policy.core.pinhole import Pinhole
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.sim.arm_links import arm_links, link_name
from so_arm_policy.sim.model import build_model, camera_in

NEAREST_M = 0.01  # to a camera: what a link has behind that is left out
MARGIN_PX = 2


class OwnView:
    """The robot at one pose. Use it in one thread."""

    def __init__(self, robot: RobotConfig) -> None:
        """Build the model, the first in a process within a second or two."""
        self._robot = robot
        self._model = build_model(robot)
        self._data = mujoco.MjData(self._model)
        self._qpos = np.array([self._model.joint(name).qposadr[0] for name in robot.joint_names])
        corners = {link.name: link.corners for link in arm_links()}
        self._links = []
        for body in range(self._model.nbody):
            name = self._model.body(body).name
            prefix = next((arm.prefix for arm in robot.arms if arm.prefix and name.startswith(arm.prefix)), "")
            if link_name(name.removeprefix(prefix)) in corners:
                self._links.append((body, corners[link_name(name.removeprefix(prefix))]))

    def pose(self, q: FloatArray) -> None:
        """Take the joints to be at `q` (n,) rad."""
        self._data.qpos[self._qpos] = q
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_camlight(self._model, self._data)

    def camera(self, name: str) -> Pinhole:
        """Return the robot's camera called `name`, where it is without any scene that moves it. Raises ConfigError."""
        return camera_in(self._data, self._robot.camera(name))

    def hidden(self, view: Pinhole) -> BoolArray:
        """Return the pixels where the robot may be in the way of `view`: (height, width), a little too many."""
        height, width = view.camera.height, view.camera.width
        mask = np.zeros((height, width), dtype=np.uint8)
        for body, corners in self._links:
            world = corners @ self._data.xmat[body].reshape(3, 3).T + self._data.xpos[body]
            ahead = (world - view.position) @ view.R_world_optical[:, 2]
            if (ahead > NEAREST_M).any():
                pixels = np.clip(view.pixels(world[ahead > NEAREST_M]), -4 * width, 5 * width)
                hull = cv2.convexHull(pixels.astype(np.float32))
                cv2.fillConvexPoly(mask, np.round(hull - 0.5).astype(np.int32), 1)
        size = 2 * MARGIN_PX + 1
        return cv2.dilate(mask, np.ones((size, size), dtype=np.uint8)) > 0
