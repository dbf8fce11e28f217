"""The source `servo`: the fingertip goes to the thing it is told of, seen by the cameras, and stays with it."""

import sys
from collections.abc import Callable

import mujoco

from so_arm_policy.control.staying import Staying
from so_arm_policy.control.thing_servo import ThingServo, pid_source, servo_source
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.ticks import Tick
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.ros.run import run_node
from so_arm_policy.ros.seeing_node import SeeingNode
from so_arm_policy.ros.tick_node import TickNodeConfig
from so_arm_policy.sim.arm_model import arm_spec

SAID_TICKS = CONTROL_HZ // 2  # of trouble on end: a first look takes a moment


class ThingServoNode(SeeingNode[TickNodeConfig]):
    """Runs the servo with the gains that it has in lockstep, and says why the arm stands."""

    def __init__(self, name: str, make: Callable[[mujoco.MjModel, RobotConfig], ThingServo]) -> None:
        """make: returns the source. Raises ConfigError."""
        super().__init__(name, TickNodeConfig)
        self._servo = make(arm_spec().compile(), self.robot)
        self.source = Staying(name, self._servo)
        self._troubled = 0

    def tick(self, tick: Tick) -> None:
        """Propose, and say when the arm cannot go to the thing."""
        super().tick(tick)
        trouble = self._servo.trouble if self._servo.wanted else None
        self._troubled = self._troubled + 1 if trouble else 0
        if trouble and self._troubled == SAID_TICKS:
            self.report("trouble", trouble, warn=True)

    def facts(self) -> dict[str, object]:
        """Return why the arm does not go to the thing, if so."""
        return {**super().facts(), "trouble": self._servo.trouble or ""}


class ServoNode(ThingServoNode):
    """Goes where the thing should be by now: for things that move."""

    def __init__(self) -> None:
        """Raises ConfigError."""
        super().__init__("servo", servo_source)


class CartesianPidNode(ThingServoNode):
    """Goes where the thing was seen: for things that stand still."""

    def __init__(self) -> None:
        """Raises ConfigError."""
        super().__init__("cartesian_pid", pid_source)


def main() -> int:
    """Run the node."""
    return run_node(ServoNode)


if __name__ == "__main__":
    sys.exit(main())
