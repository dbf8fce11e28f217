"""PID of a point in space: from where it is and where it should be to a bounded velocity."""

from dataclasses import dataclass

import numpy as np

from so_arm_policy.control.pid import integrated
from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import ConfigError

BRAKING_SHARE = 0.8  # of the acceleration limit: the rest is for the lag of the motors


@dataclass(frozen=True, kw_only=True)
class CartesianPidConfig:
    """Gains and bounds, the same in every direction; the error is target minus measured point.

    kp: 1/s; ki: 1/s^2; kd: dimensionless, on the measured velocity less that of the target, the former low-passed at
    derivative_cutoff_hz. deadband_m: the error counts from there on. speed_limit: m/s; acceleration_limit: m/s^2, both
    of the vector. back_calculation: 1/s, how fast a saturated output empties the integral. kp, kd and both limits were
    found by `so-arm tune pid --episodes 8 --tries 60`.
    """

    kp: float = 11.9
    ki: float = 0.0
    kd: float = 0.0519
    derivative_cutoff_hz: float = 15.0
    deadband_m: float = 0.0003
    speed_limit: float = 0.457
    acceleration_limit: float = 5.19
    back_calculation: float = 8.0

    def __post_init__(self) -> None:
        """Refuse gains and bounds that are negative, endless or NaN. Raises ConfigError."""
        for name in ("kp", "derivative_cutoff_hz", "back_calculation"):
            if not 0.0 < getattr(self, name) <= 1000.0:
                raise ConfigError(f"Cartesian pid: got {name} {getattr(self, name)}, expected 0 < {name} <= 1000")
        for name in ("ki", "kd"):
            if not 0.0 <= getattr(self, name) <= 1000.0:
                raise ConfigError(f"Cartesian pid: got {name} {getattr(self, name)}, expected 0 <= {name} <= 1000")
        if not 0.0 <= self.deadband_m <= 0.05:
            raise ConfigError(f"Cartesian pid: got deadband_m {self.deadband_m}, expected 0..0.05")
        for name, most in (("speed_limit", 2.0), ("acceleration_limit", 50.0)):
            if not 0.0 < getattr(self, name) <= most:
                raise ConfigError(f"Cartesian pid: got {name} {getattr(self, name)}, expected 0 < {name} <= {most}")


class CartesianPid:
    """Asks for a velocity of the point, then hears which one it got: what it did not get does not wind it up.

    After Astrom & Hagglund, Advanced PID Control, chapter 3: derivative on the measurement with a first-order filter,
    feed-forward of the target's velocity, conditional integration, and back-calculation from the achieved output. Far
    away the speed is what can still be braked, as in time-optimal control of a double integrator.
    """

    def __init__(self, config: CartesianPidConfig) -> None:
        """Stand still, with nothing remembered."""
        self._config = config
        self.reset()

    def reset(self, velocity: FloatArray | None = None) -> None:
        """Forget everything; the point moves at `velocity` (3,) m/s, by default not at all."""
        zeros = np.zeros(3)
        self._achieved = zeros if velocity is None else velocity
        self._last: FloatArray | None = None
        self._rate, self._integral, self._error, self._wanted = self._achieved, zeros, zeros, zeros

    def velocity(self, point: FloatArray, target: FloatArray, target_velocity: FloatArray, dt: float) -> FloatArray:
        """Return the velocity wanted now, (3,) m/s. point, target: (3,) m; target_velocity: (3,) m/s; dt: s, > 0."""
        config = self._config
        distance = float(np.linalg.norm(target - point))
        error = (target - point) * max(0.0, 1.0 - config.deadband_m / max(distance, 1e-9))
        if self._last is not None:
            blend = dt / (dt + 1.0 / (2.0 * np.pi * config.derivative_cutoff_hz))
            self._rate = self._rate + blend * ((point - self._last) / dt - self._rate)
        self._last = point
        self._error = error
        self._wanted = target_velocity + config.kp * error + self._integral - config.kd * (self._rate - target_velocity)
        fastest = float(np.sqrt(2.0 * BRAKING_SHARE * config.acceleration_limit * distance))
        fastest = min(config.speed_limit, float(np.linalg.norm(target_velocity + self._integral)) + fastest)
        change = at_most(at_most(self._wanted, fastest) - self._achieved, config.acceleration_limit * dt)
        return self._achieved + change

    def settle(self, achieved: FloatArray, dt: float) -> None:
        """Take note of the velocity that became of the one wanted, (3,) m/s. Call once after each `velocity`."""
        config = self._config
        excess = self._wanted - achieved
        integral = integrated(self._integral, self._error, excess, config.ki, config.back_calculation, dt)
        self._integral = at_most(integral, config.speed_limit)
        self._achieved = achieved


def at_most(v: FloatArray, length: float) -> FloatArray:
    """Return `v` (n,), shortened to `length` where it is longer."""
    norm = float(np.linalg.norm(v))
    return v if norm <= length else v * (length / norm)
