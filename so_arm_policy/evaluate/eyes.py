"""What hand-crafted controllers see in the simulator: pictures that perception understands."""

from so_arm_policy.control.perception.perception import Perception, PerceptionConfig, Picture
from so_arm_policy.control.tabletop import Tabletop
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.evaluate.rollout import Moment
from so_arm_policy.sim.own_view import OwnView


class CameraEyes:
    """The cameras of the robot, and the geometry as its description has it: not as a scene moves it."""

    def __init__(self, robot: RobotConfig, config: PerceptionConfig | None = None) -> None:
        """Use the cameras of `robot` that stand; where things are is found with the first of them."""
        self._cameras = tuple(camera.name for camera in robot.cameras if camera.stand is not None)
        self._own = OwnView(robot)
        self._perception = Perception(config)

    def look(self, moment: Moment, wanted: frozenset[str] | None) -> Tabletop:
        """Return what the cameras show now of what is wanted; see TaskSource."""
        shown = moment.look(self._cameras)
        self._own.pose(moment.sample.q)
        pictures = []
        for name in self._cameras:
            view = self._own.camera(name)
            pictures.append(Picture(view=view, rgb=shown[name].rgb, hidden=self._own.hidden(view)))
        return self._perception.look(pictures, wanted)
