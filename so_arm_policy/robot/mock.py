"""A robot without physics: its joints are where they were told to be, one tick later."""

import numpy as np

from so_arm_policy.core.arrays import FloatArray, vector
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.timegrid import CONTROL_HZ


class MockRobot:
    """Follows commands exactly, but for a limp one, which stays. q: (n,) rad, dq: (n,) rad/s."""

    def __init__(self, robot: RobotConfig) -> None:
        """Stand at home."""
        self.q = robot.home
        self.dq: FloatArray = np.zeros_like(robot.home)
        self.limp = False

    def step(self, command: FloatArray | None = None) -> None:
        """Advance one control tick to `command` (n,) rad, or stay. Raises ShapeError."""
        q = self.q if command is None or self.limp else vector(command, len(self.q), "command")
        self.dq = (q - self.q) * CONTROL_HZ
        self.q = q
