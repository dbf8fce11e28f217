"""What the robot's own cameras show it: pictures, and the joints at that time, become what is on the table."""

from collections.abc import Collection, Mapping

from so_arm_policy.control.perception.perception import Perception, PerceptionConfig, Picture
from so_arm_policy.control.tabletop import Tabletop
from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.values import CameraImage
from so_arm_policy.sim.own_view import OwnView


class RobotEyes:
    """The cameras that stand, and the geometry as the robot's description has it: not as a scene moves it.

    cameras: their names; where things are is found with the first of them. Use it in one thread.
    """

    def __init__(self, robot: RobotConfig, config: PerceptionConfig | None = None) -> None:
        """Build the robot's model, the first in a process within a second or two."""
        self.cameras = tuple(camera.name for camera in robot.cameras if camera.stand is not None)
        self._own = OwnView(robot)
        self._perception = Perception(config)

    def look(self, shown: Mapping[str, CameraImage], q: FloatArray, wanted: Collection[str] | None) -> Tabletop:
        """Return what `cameras` show, with the joints at q (n,) rad, of what is wanted; see TaskSource."""
        self._own.pose(q)
        pictures = []
        for name in self.cameras:
            view = self._own.camera(name)
            pictures.append(Picture(view=view, rgb=shown[name].rgb, hidden=self._own.hidden(view)))
        return self._perception.look(pictures, wanted)
