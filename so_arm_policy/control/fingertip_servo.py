"""Cartesian servo of one arm's fingertip: PID on the point, differential inverse kinematics, a bounded command."""

from collections.abc import Callable
from dataclasses import dataclass, field

import mujoco
import numpy as np

from so_arm_policy.control.cartesian_pid import CartesianPid, CartesianPidConfig
from so_arm_policy.control.differential_ik import DifferentialIk, JointMotion, JointMotionConfig
from so_arm_policy.core.arrays import FloatArray, vector
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.timegrid import CONTROL_HZ, NS
from so_arm_policy.core.values import JointSample

# Where the fingertip should be and how fast that moves, (3,) m and (3,) m/s, from where it is, (3,) m.
Aim = Callable[[FloatArray], tuple[FloatArray, FloatArray]]


@dataclass(frozen=True, kw_only=True)
class FingertipServoConfig:
    """How a fingertip is moved."""

    pid: CartesianPidConfig = field(default_factory=CartesianPidConfig)
    joints: JointMotionConfig = field(default_factory=JointMotionConfig)


class FingertipServo:
    """Moves the joints' command so that the fingertip goes where it is told; without an aim it comes to rest.

    Everything is in the arm's base frame. The error is of the measured fingertip, so that a load that bends the arm
    down leaves none; the command is what moves, so that its bounds hold exactly. Not thread-safe.
    """

    def __init__(
        self, model: mujoco.MjModel, robot: RobotConfig, config: FingertipServoConfig | None = None, prefix: str = ""
    ) -> None:
        """Use `model`, a compiled model of the arm alone, for the arm whose joints in `robot` start with `prefix`."""
        config = config or FingertipServoConfig()
        self._size = len(robot.joints)
        self._lower, self._upper = robot.lower, robot.upper
        self._ik = DifferentialIk(model, robot, config.joints, prefix)
        self._pid = CartesianPid(config.pid)
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next command is the measured pose."""
        self._last_ns: int | None = None
        self._command = JointMotion.at_rest(np.zeros(self._size))
        self._pid.reset()

    def fingertip(self, q: FloatArray) -> FloatArray:
        """Fingertip at joints `q` (n,) rad, (3,) m."""
        return self._ik.fingertip(q)

    def command(self, now_ns: int, sample: JointSample, aim: Aim | None) -> tuple[FloatArray, FloatArray]:
        """Return position (n,) rad and velocity (n,) rad/s for `now_ns`. Raises ShapeError, and forgets nothing."""
        measured = vector(sample.q, self._size, "measured joints")
        if self._last_ns is None:
            self._last_ns, self._command = now_ns, JointMotion.at_rest(measured)
            return self._command.q, self._command.dq
        # A late tick must not turn into a large step: at most two ticks are made up for.
        dt = min(max(0, now_ns - self._last_ns) / NS, 2.0 / CONTROL_HZ)
        if dt > 0.0:
            self._step(measured, aim, dt)
        self._last_ns = now_ns
        return self._command.q, self._command.dq

    def _step(self, measured: FloatArray, aim: Aim | None, dt: float) -> None:
        if aim is None:
            self._pid.reset()
            rate = self._ik.resting(self._command, measured, dt)
            self._command = self._command.moved(rate, dt, self._lower, self._upper)
            return
        point = self._ik.fingertip(measured)
        target, target_velocity = aim(point)
        velocity = self._pid.velocity(point, target, target_velocity, dt)
        rate, achieved = self._ik.step(self._command, measured, velocity, dt)
        self._pid.settle(achieved, dt)
        self._command = self._command.moved(rate, dt, self._lower, self._upper)
