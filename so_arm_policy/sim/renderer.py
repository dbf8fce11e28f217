"""Pictures of a scene, drawn off screen."""

import math
import os
from collections.abc import Sequence

import mujoco
import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import DeviceError, ShapeError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.values import Image
from so_arm_policy.sim.model import apply_scene, build_model
from so_arm_policy.sim.scene import Patch, Scene

PAINT_M = 2e-4  # how thick a patch is drawn: flat on the table, it would flicker


class SceneRenderer:
    """Draws the robot's cameras from a Scene and the state of the model. Use it in the thread that made it."""

    def __init__(self, robot: RobotConfig, *, width: int = 0, height: int = 0) -> None:
        """Open an off-screen context; width and height override those of the cameras. Raises DeviceError."""
        self.robot = robot
        self._size = (width, height)
        self._model = build_model(robot)
        self._model.vis.global_.offwidth = max(self._model.vis.global_.offwidth, width)
        self._model.vis.global_.offheight = max(self._model.vis.global_.offheight, height)
        self._data = mujoco.MjData(self._model)
        self._scene: Scene | None = None
        self._renderers: dict[tuple[int, int], mujoco.Renderer] = {}

    def render(self, scene: Scene, qpos: FloatArray, camera: str) -> Image:
        """Return (height, width, 3) uint8. Raises ConfigError (camera), ShapeError (qpos), DeviceError (no GL)."""
        if np.shape(qpos) != (self._model.nq,):
            raise ShapeError(f"simulator state: got shape {np.shape(qpos)}, expected ({self._model.nq},)")
        renderer = self._renderer(camera)
        if scene is not self._scene:
            apply_scene(self._model, self._data, scene)
            self._scene = scene
        self._data.qpos[:] = qpos
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_comPos(self._model, self._data)
        mujoco.mj_camlight(self._model, self._data)
        renderer.update_scene(self._data, camera)
        _paint(renderer.scene, scene.patches)
        return renderer.render()

    def _renderer(self, camera: str) -> mujoco.Renderer:
        config = self.robot.camera(camera)
        width, height = self._size[0] or config.width, self._size[1] or config.height
        if (width, height) not in self._renderers:
            try:
                renderer = mujoco.Renderer(self._model, height, width)
            except (RuntimeError, ImportError, AttributeError, mujoco.FatalError) as error:
                raise DeviceError(
                    f"off-screen drawing: got {error} with MUJOCO_GL={os.environ.get('MUJOCO_GL', '')!r}, "
                    "expected MUJOCO_GL=egl (libegl1) or osmesa (libosmesa6)"
                ) from error
            for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
                renderer.scene.flags[flag] = False
            self._renderers[width, height] = renderer
        return self._renderers[width, height]

    def close(self) -> None:
        """Free the OpenGL contexts."""
        for renderer in self._renderers.values():
            renderer.close()
        self._renderers.clear()


def _paint(drawn: mujoco.MjvScene, patches: Sequence[Patch]) -> None:
    """Put patches into what is about to be drawn."""
    for patch in patches:
        c, s = math.cos(patch.yaw), math.sin(patch.yaw)
        mujoco.mjv_initGeom(
            drawn.geoms[drawn.ngeom],
            mujoco.mjtGeom.mjGEOM_BOX,
            np.array([patch.half_m, patch.half_m, PAINT_M]),
            np.array([patch.x, patch.y, PAINT_M]),
            np.array([c, -s, 0.0, s, c, 0.0, 0.0, 0.0, 1.0]),
            np.array([*patch.rgb, 1.0], dtype=np.float32),
        )
        drawn.ngeom += 1
