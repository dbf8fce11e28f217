"""What the robot's own cameras show it: pictures, and the joints at that time, become what is on the table."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from so_arm_policy.control.perception.perception import Perception, PerceptionConfig, Picture
from so_arm_policy.control.tabletop import Tabletop
from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.still_pictures import StillPictures
from so_arm_policy.core.values import CameraImage
from so_arm_policy.sim.own_view import OwnView


@dataclass(frozen=True, kw_only=True, eq=False)
class Shot:
    """One picture, and where the joints were when it was taken: q (n,) rad."""

    image: CameraImage
    q: FloatArray


class RobotEyes:
    """The robot's cameras, and the geometry as the robot's description has it: not as a scene moves it.

    cameras: their names, those that stand first. needed: without whose pictures there is no look: those that stand, or
    the first one where none does; the others add what they see. Use it in one thread.
    """

    def __init__(self, robot: RobotConfig, config: PerceptionConfig | None = None) -> None:
        """Build the robot's model, the first in a process within a second or two."""
        standing = tuple(camera.name for camera in robot.cameras if camera.stand is not None)
        carried = tuple(camera.name for camera in robot.cameras if camera.stand is None)
        self.cameras = standing + carried
        self.needed = standing or carried[:1]
        self._own = OwnView(robot)
        self._perception = Perception(config)
        self._still = StillPictures()

    def look(self, shown: Mapping[str, Shot], wanted: Collection[str] | None) -> Tabletop:
        """Return what the cameras in `shown` show of what is wanted; see TaskSource. All `needed` must be there.

        Raises PictureFrozen where a camera's picture stands still while the arm moves.
        """
        for shot in shown.values():
            self._still.check((shot.image,), shot.q)
        pictures = []
        for name in self.cameras:
            if name in self.needed or name in shown:
                self._own.pose(shown[name].q)
                view = self._own.camera(name)
                pictures.append(Picture(view=view, rgb=shown[name].image.rgb, hidden=self._own.hidden(view)))
        return self._perception.look(pictures, wanted)
