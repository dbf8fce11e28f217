"""Joint-space PID for position servos: the controller's output is a bounded velocity, which moves the command."""

from dataclasses import dataclass

import numpy as np

from so_arm_policy.core.arrays import FloatArray, vector
from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.timegrid import CONTROL_HZ, NS
from so_arm_policy.core.values import JointSample


@dataclass(frozen=True, kw_only=True)
class PidConfig:
    """Gains and bounds, the same for every joint; the error is goal minus measured position.

    kp: 1/s; ki: 1/s^2 (the moving command integrates already, so a constant load leaves no error without it; ki is for
    goals that move); kd: dimensionless, on the measured velocity, low-passed at derivative_cutoff_hz.
    deadband_rad: errors below it count as none. velocity_limit: rad/s. acceleration_limit: rad/s^2.
    back_calculation: 1/s, how fast a saturated output empties the integral. lead_rad: how far the command may be ahead
    of the measured position, so that a blocked joint is not pushed ever harder, and an arm that is held meanwhile can
    be taken over again (below continuity_rad of the supervisor).
    """

    kp: float = 4.0
    ki: float = 0.0
    kd: float = 0.05
    derivative_cutoff_hz: float = 15.0
    deadband_rad: float = 0.001
    velocity_limit: float = 1.0
    acceleration_limit: float = 8.0
    back_calculation: float = 8.0
    lead_rad: float = 0.12

    def __post_init__(self) -> None:
        """Refuse gains and bounds that are negative, endless or NaN. Raises ConfigError."""
        for name in ("kp", "derivative_cutoff_hz", "velocity_limit", "acceleration_limit", "back_calculation"):
            if not 0.0 < getattr(self, name) <= 1000.0:
                raise ConfigError(f"pid: got {name} {getattr(self, name)}, expected 0 < {name} <= 1000")
        for name in ("ki", "kd"):
            if not 0.0 <= getattr(self, name) <= 1000.0:
                raise ConfigError(f"pid: got {name} {getattr(self, name)}, expected 0 <= {name} <= 1000")
        if not 0.0 <= self.deadband_rad <= 0.1:
            raise ConfigError(f"pid: got deadband_rad {self.deadband_rad}, expected 0..0.1")
        if not 0.0 < self.lead_rad <= 1.0:
            raise ConfigError(f"pid: got lead_rad {self.lead_rad}, expected 0 < lead_rad <= 1")


class JointPid:
    """Drives the joints to a goal. Without a goal it keeps the pose measured first.

    After Astrom & Hagglund, Advanced PID Control, chapter 3: derivative on the measurement with a first-order filter,
    conditional integration, and back-calculation from the saturated output.
    """

    name = "pid"

    def __init__(self, config: PidConfig, robot: RobotConfig) -> None:
        """Never faster than `robot` allows."""
        self._config = config
        self._robot = robot
        self._velocity_limit = np.minimum(config.velocity_limit, robot.velocity)
        self._acceleration_limit = np.minimum(config.acceleration_limit, robot.acceleration)
        self._goal: FloatArray | None = None
        self.reset()

    def set_goal(self, q: FloatArray) -> None:
        """Set where to go, (n,) rad. Raises ShapeError, and InputError outside the position limits."""
        goal = vector(q, len(self._robot.joints), "goal")
        outside = [
            f"{j.name} {x:.4f} not in [{j.lower}, {j.upper}]"
            for j, x in zip(self._robot.joints, goal, strict=True)
            if not j.lower <= x <= j.upper
        ]
        if outside:
            raise InputError(f"goal: got {', '.join(outside)}, expected positions within limits")
        self._goal = goal

    def reset(self) -> None:
        """Drop the goal and all memory: the next command is the measured pose."""
        zeros = np.zeros(len(self._robot.joints))
        self._goal = None
        self._last_ns: int | None = None
        self._command, self._velocity, self._integral, self._measured, self._rate = (zeros,) * 5

    def command(self, now_ns: int, sample: JointSample) -> tuple[FloatArray, FloatArray]:
        """Return position (n,) rad and velocity (n,) rad/s for `now_ns`."""
        if self._last_ns is None:
            self._last_ns, self._command, self._measured = now_ns, sample.q.copy(), sample.q
            if self._goal is None:
                self._goal = np.clip(sample.q, self._robot.lower, self._robot.upper)
            return self._command, self._velocity
        # A late tick must not turn into a large step: at most two ticks are made up for.
        dt = min(max(0, now_ns - self._last_ns) / NS, 2.0 / CONTROL_HZ)
        self._last_ns = now_ns
        if dt > 0.0:
            self._step(sample.q, dt)
        return self._command, self._velocity

    def _step(self, measured: FloatArray, dt: float) -> None:
        assert self._goal is not None
        config = self._config
        error = self._goal - measured
        error = np.where(np.abs(error) <= config.deadband_rad, 0.0, error)
        blend = dt / (dt + 1.0 / (2.0 * np.pi * config.derivative_cutoff_hz))
        self._rate = self._rate + blend * ((measured - self._measured) / dt - self._rate)
        self._measured = measured
        wanted = config.kp * error + self._integral - config.kd * self._rate
        velocity = np.clip(wanted, -self._velocity_limit, self._velocity_limit)
        change = self._acceleration_limit * dt
        velocity = np.clip(velocity, self._velocity - change, self._velocity + change)
        command = np.clip(self._command + velocity * dt, measured - config.lead_rad, measured + config.lead_rad)
        command = np.clip(command, self._robot.lower, self._robot.upper)
        excess = wanted - (command - self._command) / dt
        integral = integrated(self._integral, error, excess, config.ki, config.back_calculation, dt)
        self._integral = np.clip(integral, -self._velocity_limit, self._velocity_limit)
        self._velocity, self._command = velocity, command


def integrated(
    integral: FloatArray, error: FloatArray, excess: FloatArray, ki: float, back_calculation: float, dt: float
) -> FloatArray:
    """Grow `integral` unless that saturates the output further, and empty it by what the output had too much.

    excess: wanted less achieved output. All arrays have one shape. It is emptied to zero, not beyond: a large
    proportional term alone must not wind it up the other way.
    """
    saturated = np.abs(excess) > 1e-9
    grow = np.where(saturated & (error * excess > 0.0), 0.0, ki * error * dt)
    empty = np.where(saturated & (integral * excess > 0.0), back_calculation * excess * dt, 0.0)
    empty = np.clip(empty, np.minimum(integral, 0.0), np.maximum(integral, 0.0))
    return integral + grow - empty
