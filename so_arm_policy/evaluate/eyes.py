"""What hand-crafted controllers see in the simulator: pictures that perception understands."""

from so_arm_policy.control.perception.perception import PerceptionConfig
from so_arm_policy.control.tabletop import Tabletop
from so_arm_policy.core.errors import PictureFrozen
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.evaluate.agent import Moment
from so_arm_policy.sim.eyes import RobotEyes, Shot


class CameraEyes:
    """The cameras of the robot, those that stand and those that it carries, in lockstep."""

    def __init__(self, robot: RobotConfig, config: PerceptionConfig | None = None, *, carried: bool = True) -> None:
        """config: of the perception. carried: whether to look through cameras that arms carry, too."""
        self._eyes = RobotEyes(robot, config)
        self._cameras = self._eyes.cameras if carried else self._eyes.needed

    def look(self, moment: Moment, wanted: frozenset[str] | None) -> Tabletop | None:
        """Return what the cameras show now of what is wanted; see TaskSource.

        Pictures of another time are left out; None where one of them is of a camera that is needed, or one is frozen.
        """
        pictures = moment.look(self._cameras).items()
        shown = {
            name: Shot(image=image, q=moment.sample.q) for name, image in pictures if image.stamp_ns == moment.now_ns
        }
        if not shown.keys() >= set(self._eyes.needed):
            return None
        try:
            return self._eyes.look(shown, wanted)
        except PictureFrozen:
            return None
