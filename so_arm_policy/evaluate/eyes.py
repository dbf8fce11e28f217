"""What hand-crafted controllers see in the simulator: pictures that perception understands."""

from so_arm_policy.control.perception.perception import PerceptionConfig
from so_arm_policy.control.tabletop import Tabletop
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.evaluate.agent import Moment
from so_arm_policy.sim.eyes import RobotEyes


class CameraEyes:
    """The cameras of the robot that stand, in lockstep."""

    def __init__(self, robot: RobotConfig, config: PerceptionConfig | None = None) -> None:
        """config: of the perception."""
        self._eyes = RobotEyes(robot, config)

    def look(self, moment: Moment, wanted: frozenset[str] | None) -> Tabletop | None:
        """Return what the cameras show now of what is wanted; see TaskSource. None for pictures of another time."""
        shown = moment.look(self._eyes.cameras)
        if any(picture.stamp_ns != moment.now_ns for picture in shown.values()):
            return None
        return self._eyes.look(shown, moment.sample.q, wanted)
