"""Where the robot is, from joint positions alone: what of a picture it hides, and the cameras that it carries."""

from itertools import accumulate, pairwise

import cv2
import mujoco
import numpy as np
import numpy.typing as npt

from so_arm_policy.core.arrays import BoolArray, FloatArray
from so_arm_policy.core.pinhole import Pinhole
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.sim.model import build_model, camera_in

NEAREST_M = 0.01  # to a camera: what a link has behind that is left out
MARGIN_PX = 2
PATCH_M = 0.02  # links are drawn as patches of so much: what a patch rounds off stays small, holes stay open
DRAWN_GROUP = 2  # of the geoms that are drawn and do not collide
FARTHEST_PX = 4000.0  # from the picture: OpenCV draws with numbers that are not much larger


class OwnView:
    """The robot at one pose. Use it in one thread."""

    def __init__(self, robot: RobotConfig) -> None:
        """Build the model, the first in a process within a second or two."""
        self._robot = robot
        self._model = build_model(robot)
        self._data = mujoco.MjData(self._model)
        self._qpos = np.array([self._model.joint(name).qposadr[0] for name in robot.joint_names])
        roots = {int(self._model.body(f"{arm.prefix}base").rootid[0]) for arm in robot.arms}
        drawn = np.flatnonzero(self._model.geom_group == DRAWN_GROUP)
        bodies = self._model.geom_bodyid[drawn]
        geoms = drawn[[int(self._model.body_rootid[body]) in roots for body in bodies]]
        patches = [_patches(self._model, int(geom)) for geom in geoms]
        self._geoms = [(int(geom), sum(map(len, parts))) for geom, parts in zip(geoms, patches, strict=True)]
        # One row for each axis, which numpy is many times faster with than with a last axis of three.
        self._corners = np.concatenate([patch for parts in patches for patch in parts]).T.copy()
        self._begins = np.cumsum([0, *(len(patch) for parts in patches for patch in parts)])[:-1]
        self._ends = np.append(self._begins[1:], self._corners.shape[1])

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
        local = view.R_world_optical.T @ (self._world() - view.position[:, None])
        ahead = local[2] > NEAREST_M
        depth = np.where(ahead, local[2], NEAREST_M)
        exact = local[:2] / depth * view.focal_px + np.array([[width], [height]]) / 2
        pixels = np.clip(exact, -FARTHEST_PX, FARTHEST_PX).T.astype(np.float32, order="C")
        least = np.minimum.reduceat(pixels, self._begins)
        most = np.maximum.reduceat(pixels, self._begins)
        shown = (most > 0).all(axis=1) & (least < (width, height)).all(axis=1)
        whole = np.logical_and.reduceat(ahead, self._begins)
        hulls: list[npt.NDArray[np.generic]] = [np.empty((0, 1, 2), dtype=np.float32)]
        for patch in np.flatnonzero(shown & np.logical_or.reduceat(ahead, self._begins)):
            part = slice(self._begins[patch], self._ends[patch])
            hulls.append(cv2.convexHull(pixels[part] if whole[patch] else pixels[part][ahead[part]]))
        corners = np.round(np.concatenate(hulls) - 0.5).astype(np.int32)
        for begin, end in pairwise(accumulate(map(len, hulls))):
            cv2.fillConvexPoly(mask, corners[begin:end], 1)
        size = 2 * MARGIN_PX + 1
        return cv2.dilate(mask, np.ones((size, size), dtype=np.uint8)) > 0

    def _world(self) -> FloatArray:
        """Return all corners, (3, v) m, in the world frame."""
        world, at = np.empty_like(self._corners), 0
        for geom, count in self._geoms:
            part = slice(at, at + count)
            R_world_geom = self._data.geom_xmat[geom].reshape(3, 3)
            world[:, part] = R_world_geom @ self._corners[:, part] + self._data.geom_xpos[geom][:, None]
            at += count
        return world


def _patches(model: mujoco.MjModel, geom: int) -> list[FloatArray]:
    """Return a mesh cut into patches, the corners (v, 3) m of the triangles in each, in the frame of the geom."""
    mesh = int(model.geom_dataid[geom])
    first, count = int(model.mesh_vertadr[mesh]), int(model.mesh_vertnum[mesh])
    corners: FloatArray = model.mesh_vert[first : first + count].astype(np.float64)
    first, count = int(model.mesh_faceadr[mesh]), int(model.mesh_facenum[mesh])
    faces: npt.NDArray[np.int32] = model.mesh_face[first : first + count]
    cells = np.floor(corners[faces].mean(axis=1) / PATCH_M).astype(np.int64)
    _, patch = np.unique(cells, axis=0, return_inverse=True)
    return [corners[np.unique(faces[patch.reshape(-1) == i])] for i in range(int(patch.max()) + 1)]
