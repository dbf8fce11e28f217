"""One question for a path, as the searches see it: in the joints that may move, with free poses known by a function."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np

from so_arm_policy.control.motion.config import PlannerConfig
from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import InputError


class Why(Enum):
    """Why there is no path."""

    START_NOT_FREE = "start not free"
    GOALS_NOT_FREE = "goals not free"
    NO_PATH = "no path"


class PlanError(InputError):
    """There is no path, or none was found; `why` says which."""

    def __init__(self, why: Why, text: str) -> None:
        """`text`: what was got and what was expected."""
        super().__init__(f"plan: {why.value}: {text}")
        self.why = why


@dataclass(frozen=True, kw_only=True, eq=False)
class Query:
    """A way is wanted from `start` (m,) rad to any of `goals` (g, m) rad, within lower..upper (m,), all of them free.

    free: whether a pose (m,) may be taken. seed: two searches with one seed return the same.
    """

    start: FloatArray
    goals: FloatArray
    lower: FloatArray
    upper: FloatArray
    free: Callable[[FloatArray], bool]
    seed: int
    config: PlannerConfig

    def straight(self, first: FloatArray, last: FloatArray) -> bool:
        """Whether the straight line between two free poses (m,) is free, at config.resolution_rad."""
        count = int(np.ceil(np.linalg.norm(last - first) / self.config.resolution_rad))
        return all(self.free(first + share * (last - first)) for share in _spread(count))


def _spread(count: int) -> list[float]:
    """Return the shares 1/count .. (count - 1)/count, those amid large gaps first: collisions show early."""
    order: list[int] = []
    step = 1
    while step < count:
        step *= 2
    while step > 1:
        order += range(step // 2, count, step)
        step //= 2
    return [k / count for k in order]


# Returns a path (k, m) rad with k >= 2 from the start to one of the goals, or None where none was found.
Search = Callable[[Query], FloatArray | None]
