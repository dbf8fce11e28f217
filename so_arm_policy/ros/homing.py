"""Brings the arm home between episodes: a source like any other, behind the same supervisor."""

import numpy as np

from so_arm_policy.control.pid import JointPid, PidConfig
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.values import JointSample, Proposal
from so_arm_policy.msg import JointCommand
from so_arm_policy.ros import convert

HOMING = "replay"  # the name under which it speaks: nobody else uses it here
NEAR_RAD = 0.01
STILL_RAD_S = 0.02
TICKS = 12  # so long it has to be at rest there


class Homing:
    """Proposes the way home, as the robot's description has it, with the joint-space PID."""

    def __init__(self, robot: RobotConfig) -> None:
        """Begin anew at the first sample."""
        self._robot = robot
        self._pid = JointPid(PidConfig(), robot)
        self._sequence = 0
        self.restart()

    def restart(self) -> None:
        """Begin anew from where the arm is."""
        self._pid.reset()
        self._pid.set_goal(self._robot.home)
        self._there = 0

    @property
    def arrived(self) -> bool:
        """Whether the arm is at rest at home."""
        return self._there >= TICKS

    def propose(self, now_ns: int, received_ns: int, sample: JointSample) -> JointCommand:
        """Return what to propose at `now_ns` (ROS time), `received_ns` (monotonic); call it on every tick."""
        off = float(np.abs(sample.q - self._robot.home).max())
        here = off <= NEAR_RAD and float(np.abs(sample.dq).max()) <= STILL_RAD_S
        self._there = self._there + 1 if here else 0
        q, dq = self._pid.command(now_ns, sample)
        self._sequence += 1
        proposal = Proposal(
            source=HOMING,
            sequence=self._sequence,
            stamp_ns=now_ns,
            observation_stamp_ns=sample.stamp_ns,
            received_ns=received_ns,
            joint_names=self._robot.joint_names,
            q=q,
            dq=dq,
        )
        return convert.joint_command(proposal)
