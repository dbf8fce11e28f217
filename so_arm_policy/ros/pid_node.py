"""The source `pid`: joint-space PID to a goal."""

import sys
from dataclasses import dataclass, field

from sensor_msgs.msg import JointState

from so_arm_policy.control.pid import JointPid, PidConfig
from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import SoArmError
from so_arm_policy.core.latest import Latest
from so_arm_policy.core.ticks import Tick
from so_arm_policy.ros import topics
from so_arm_policy.ros.run import run_node
from so_arm_policy.ros.source_node import SourceNode
from so_arm_policy.ros.tick_node import TickNodeConfig


@dataclass(frozen=True, kw_only=True)
class PidNodeConfig(TickNodeConfig):
    """Parameters of the pid node."""

    pid: PidConfig = field(default_factory=PidConfig)


class PidNode(SourceNode[PidNodeConfig]):
    """Proposes the way to `pid/goal` (all joints, by name), at first to the robot's home pose."""

    def __init__(self) -> None:
        """Raises ConfigError."""
        super().__init__("pid", PidNodeConfig)
        self.source = self._pid = JointPid(self.config.pid, self.robot)
        self._goals: Latest[FloatArray] = Latest()
        self._goal = self.robot.home
        self._pid.set_goal(self._goal)
        self.listen(topics.PID_GOAL, self._on_goal)

    def _on_goal(self, msg: JointState) -> None:
        self._goals.put(self.robot.order(msg.name, msg.position, "pid/goal"))

    def restart(self) -> None:
        """Begin anew, with the same goal."""
        super().restart()
        self._pid.set_goal(self._goal)

    def tick(self, tick: Tick) -> None:
        """Take a new goal, if any, then propose."""
        goal = self._goals.take()
        if goal is not None:
            try:
                self._pid.set_goal(goal)
                self._goal = goal
            except SoArmError as error:
                self.report("pid/goal", str(error))
        super().tick(tick)


def main() -> int:
    """Run the node."""
    return run_node(PidNode)


if __name__ == "__main__":
    sys.exit(main())
