"""Follows targets that jitter and jump with a motion that does neither."""

import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.robot import RobotConfig

# Shares of the robot's limits. Braking begins early and gently enough that building the deceleration up, which takes
# its time with a limited jerk, leads beyond neither the target nor the velocity limit.
SPEED, EFFORT, BRAKING = 0.97, 0.85, 0.6
GAIN = 25.0  # 1/s: lags a target that moves evenly by its velocity / GAIN


class Tracker:
    """Positions q (n,) rad and velocities dq (n,) rad/s that come to a target, within the robot's limits.

    Near the target the velocity is proportional to the way left, further off it is what can still be braked in time.
    """

    def __init__(self, robot: RobotConfig, q: FloatArray) -> None:
        """Begin at rest at `q` (n,) rad."""
        self._velocity = SPEED * robot.velocity
        self._acceleration, self._jerk = EFFORT * robot.acceleration, EFFORT * robot.jerk
        self._braking = BRAKING * robot.acceleration
        self._knee = self._braking / GAIN**2
        self.q, self.dq, self._ddq = q, np.zeros_like(q), np.zeros_like(q)

    def step(self, target: FloatArray, velocity: FloatArray, dt: float) -> None:
        """Move for `dt` s towards `target` (n,) rad, no faster than `velocity` (n,) rad/s; 0 is braking."""
        away = target - self.q
        far = np.abs(away)
        braked = np.sqrt(2.0 * self._braking * np.maximum(far - self._knee / 2.0, 0.0))
        speed = np.minimum(np.where(far <= self._knee, GAIN * far, braked), np.minimum(velocity, self._velocity))
        wanted = np.sign(away) * speed
        ddq = np.clip((wanted - self.dq) / dt, -self._acceleration, self._acceleration)
        ddq = np.clip(ddq, self._ddq - self._jerk * dt, self._ddq + self._jerk * dt)
        self.q, self.dq, self._ddq = self.q + (self.dq + ddq * dt) * dt, self.dq + ddq * dt, ddq
