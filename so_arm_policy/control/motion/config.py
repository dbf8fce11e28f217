"""Parameters of motion planning. Angles in rad; speeds are shares of the robot's limits."""

import math
from dataclasses import dataclass

from so_arm_policy.core.errors import ConfigError

# Least (exclusive) and most of what is not a count. Coarser steps than 0.05 rad can jump over a thing on the table.
_BETWEEN = {
    "resolution_rad": (1e-4, 0.05),
    "range_rad": (0.0, 2 * math.pi),
    "velocity_scale": (0.0, 1.0),
    "acceleration_scale": (0.0, 1.0),
    "jerk_scale": (0.0, 1.0),
}
_AT_MOST = {"iterations": 10_000_000, "shortcuts": 100_000}


@dataclass(frozen=True, kw_only=True)
class PlannerConfig:
    """How a motion is searched for and how fast it is.

    planner: a name in PLANNERS (planner.py). resolution_rad: how far apart two checked poses of a path are at most,
    length of the difference of all joints. range_rad: length of the branches of rrt_connect. iterations: when a search
    gives up, of rrt_connect branches, of prm_star poses. shortcuts: how often a path is tried to be made shorter.
    velocity_scale, acceleration_scale, jerk_scale: shares of the robot's limits that motions use.
    """

    planner: str = "rrt_connect"
    resolution_rad: float = 0.01
    range_rad: float = 0.5
    iterations: int = 5_000
    shortcuts: int = 100
    velocity_scale: float = 0.6
    acceleration_scale: float = 0.5
    jerk_scale: float = 0.25

    def __post_init__(self) -> None:
        """Refuse what finds nothing or moves faster than the robot may. Raises ConfigError."""
        for name, (least, most) in _BETWEEN.items():
            if not least < getattr(self, name) <= most:
                raise ConfigError(f"planner: got {name} {getattr(self, name)}, expected {least} < {name} <= {most}")
        for name, count in _AT_MOST.items():
            if not 0 <= getattr(self, name) <= count:
                raise ConfigError(f"planner: got {name} {getattr(self, name)}, expected 0..{count}")
