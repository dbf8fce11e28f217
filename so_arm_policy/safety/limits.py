"""What the joints may do in one tick: the robot's limits, tightened, in units of one tick."""

from dataclasses import dataclass
from typing import Self

from so_arm_policy.core.arrays import FloatArray, vector
from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.safety.config import SupervisorConfig
from so_arm_policy.safety.stopping import way_to_rest

# A clamped command catches up with its source at half of the acceleration limit, so that it arrives slowly.
CLOSING_SHARE = 0.5


@dataclass(frozen=True, kw_only=True, eq=False)
class Limits:
    """Arrays of shape (n,) in the robot's joint order.

    lower, upper: rad. velocity_step: v dt, rad, the largest move in one tick. acceleration_step: a dt^2, rad, the
    largest change of that move from one tick to the next; closing_step: the part of it spent on catching up with a
    clamped source. jerk_step: j dt^3, rad, the largest change of that change. longest_stop: how far a joint gets, rad,
    that comes to rest from full speed. half_range: (upper - lower) / 2, rad.
    """

    names: tuple[str, ...]
    rate_hz: int
    lower: FloatArray
    upper: FloatArray
    velocity_step: FloatArray
    acceleration_step: FloatArray
    closing_step: FloatArray
    jerk_step: FloatArray
    longest_stop: FloatArray
    half_range: FloatArray

    @classmethod
    def of(cls, config: SupervisorConfig, robot: RobotConfig) -> Self:
        """Tighten the limits of `robot` as `config` says. Raises ConfigError when a margin leaves no room."""
        dt = 1.0 / config.rate_hz
        half_range = (robot.upper - robot.lower) / 2 - config.position_margin_rad
        for name, half in zip(robot.joint_names, half_range, strict=True):
            if not half > 0.0:
                raise ConfigError(
                    f"safety: got position_margin_rad {config.position_margin_rad}, which leaves joint {name!r} no room"
                )
        velocity_step = robot.velocity * config.velocity_scale * dt
        acceleration_step = robot.acceleration * config.acceleration_scale * dt**2
        jerk_step = robot.jerk * config.jerk_scale * dt**3
        fastest = zip(velocity_step.tolist(), acceleration_step.tolist(), jerk_step.tolist(), strict=True)
        return cls(
            names=robot.joint_names,
            rate_hz=config.rate_hz,
            lower=vector(robot.lower + config.position_margin_rad),
            upper=vector(robot.upper - config.position_margin_rad),
            velocity_step=vector(velocity_step),
            acceleration_step=vector(acceleration_step),
            closing_step=vector(acceleration_step * CLOSING_SHARE),
            jerk_step=vector(jerk_step),
            longest_stop=vector([way_to_rest(v, a, a, j)[0] for v, a, j in fastest]),
            half_range=vector(half_range),
        )
