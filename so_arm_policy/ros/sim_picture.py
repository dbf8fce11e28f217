"""From the simulator's state message to a picture."""

import numpy as np

from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.values import Image
from so_arm_policy.msg import SimState
from so_arm_policy.ros import convert
from so_arm_policy.sim.renderer import SceneRenderer


class SimPicture:
    """Draws one camera; use it in the thread that made it."""

    def __init__(self, robot: RobotConfig, camera: str) -> None:
        """Compile the model and open OpenGL. Raises DeviceError."""
        self._renderer = SceneRenderer(robot)
        self._camera = camera
        self._text: str | None = None

    def draw(self, state: SimState) -> Image:
        """Return (height, width, 3) uint8. Raises InputError, ConfigError or ShapeError."""
        if state.scene != self._text:
            self._scene = convert.scene(state.scene)
            self._text = state.scene
        return self._renderer.render(self._scene, np.array(state.qpos), self._camera)

    def close(self) -> None:
        """Free OpenGL."""
        self._renderer.close()
