"""What a planner must be told of the surroundings, whoever knows them: how near a pose is to a collision."""

from collections.abc import Callable
from dataclasses import dataclass

from so_arm_policy.core.arrays import FloatArray


@dataclass(frozen=True, kw_only=True, slots=True)
class Near:
    """The two that are nearest to being too near to each other at a pose.

    room_m: how much nearer they may come, m; a pose is free where it is above 0. How far one looks where nothing is
    near, with empty names. distance_m: how far apart they are, m; negative in each other. first, second: their names.
    """

    room_m: float
    distance_m: float
    first: str
    second: str

    def __str__(self) -> str:
        """Say who is how near to whom."""
        if not self.first:
            return "nothing near"
        wanted = (self.distance_m - self.room_m) * 1e3
        return f"{self.first} and {self.second} {self.distance_m * 1e3:.1f} mm apart, expected more than {wanted:.1f}"


# Answers for joints (n,) rad in the robot's order. The same pose must get the same answer as long as one plans.
Clear = Callable[[FloatArray], Near]
