"""What a planner must be told of the surroundings, whoever knows them: how near a pose is to a collision."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from so_arm_policy.core.arrays import FloatArray


@dataclass(frozen=True, kw_only=True, slots=True)
class Near:
    """The two that are nearest to being too near to each other at a pose.

    room_m: how much nearer they may come, m; a pose is free where it is above 0. How far one looks where nothing is
    near, with empty names. distance_m: how far apart they are, m; negative in each other. first, second: their names.
    kept_out: the same of the keep-out volumes alone, which nothing may come nearer to for any reason; None without any.
    """

    room_m: float
    distance_m: float
    first: str
    second: str
    kept_out: "Near | None" = None

    @property
    def barred(self) -> "Near | None":
        """Who is too near to a keep-out volume, if anybody is."""
        return None if self.kept_out is None or self.kept_out.room_m > 0.0 else self.kept_out

    def relaxed(self, room_m: float, kept_out_m: float) -> "Near":
        """Return the same where one may come so much nearer to all else, and to keep-out volumes."""
        rest = replace(self, room_m=self.room_m + room_m)
        if self.kept_out is None or self.kept_out.room_m + kept_out_m >= rest.room_m:
            return rest
        return replace(self.kept_out, room_m=self.kept_out.room_m + kept_out_m)

    def __str__(self) -> str:
        """Say who is how near to whom."""
        if not self.first:
            return "nothing near"
        wanted = (self.distance_m - self.room_m) * 1e3
        return f"{self.first} and {self.second} {self.distance_m * 1e3:.1f} mm apart, expected more than {wanted:.1f}"


# Answers for joints (n,) rad in the robot's order. The same pose must get the same answer as long as one plans.
Clear = Callable[[FloatArray], Near]
