"""A robot that follows commands exactly, for trying the stack without simulator or hardware."""

import sys

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.robot.mock import MockRobot
from so_arm_policy.ros.robot_node import RobotNode, RobotNodeConfig
from so_arm_policy.ros.run import run_node


class MockRobotNode(RobotNode[RobotNodeConfig]):
    """Echoes joint_command as joint_states."""

    def __init__(self) -> None:
        """Raises ConfigError."""
        super().__init__("mock_robot", RobotNodeConfig)
        self._mock = MockRobot(self.robot)

    def advance(self, command: FloatArray | None) -> tuple[FloatArray, FloatArray]:
        """Be where the command says."""
        self._mock.step(command)
        return self._mock.q, self._mock.dq

    def set_limp(self, limp: bool) -> None:
        """Nothing falls here."""
        self._mock.limp = limp

    def publish_more(self, now_ns: int) -> None:
        """There is nothing more."""


def main() -> int:
    """Run the node."""
    return run_node(MockRobotNode)


if __name__ == "__main__":
    sys.exit(main())
