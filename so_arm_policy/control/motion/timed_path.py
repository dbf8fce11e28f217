"""A motion over time, as a value that never changes."""

import bisect
import math
from dataclasses import dataclass, field

import numpy as np

from so_arm_policy.core.arrays import FloatArray, frozen, vector
from so_arm_policy.core.errors import InputError, ShapeError


@dataclass(frozen=True, eq=False)
class TimedPath:
    """Joints that move with a jerk that is constant in each of k pieces.

    starts_s: (k,), when each begins, from 0 on; duration_s: when the last ends. q: (k, n) rad, dq: rad/s, ddq: rad/s^2,
    at the beginning of each; jerk: rad/s^3, in it. Raises ShapeError.
    """

    starts_s: FloatArray
    duration_s: float
    q: FloatArray = field(repr=False)
    dq: FloatArray = field(repr=False)
    ddq: FloatArray = field(repr=False)
    jerk: FloatArray = field(repr=False)
    _starts: list[float] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Check shapes and times."""
        starts = vector(self.starts_s, name="times of a motion")
        if not len(starts) or starts[0] != 0.0 or not (np.diff([*starts, self.duration_s]) >= 0.0).all():
            got = f"{starts.tolist()} to {self.duration_s}"
            raise ShapeError(f"motion: got times {got}, expected at least one, from 0 on, never back")
        object.__setattr__(self, "starts_s", starts)
        object.__setattr__(self, "_starts", starts.tolist())
        shape = (len(starts), np.shape(self.q)[-1])
        for name in ("q", "dq", "ddq", "jerk"):
            object.__setattr__(self, name, frozen(getattr(self, name), shape, f"motion {name}"))

    def at(self, elapsed_s: float) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return q (n,) rad, dq rad/s and ddq rad/s^2 at a time since the start; before it the start, after it the end.

        Raises InputError for a time that is not a number.
        """
        if math.isnan(elapsed_s):
            raise InputError("motion: got time nan, expected a number")
        time = min(max(elapsed_s, 0.0), self.duration_s)
        i = bisect.bisect_right(self._starts, time) - 1
        t = time - self._starts[i]
        q, dq, ddq, jerk = self.q[i], self.dq[i], self.ddq[i], self.jerk[i]
        return (
            q + t * (dq + t * (ddq / 2.0 + t * jerk / 6.0)),
            dq + t * (ddq + t * jerk / 2.0),
            ddq + t * jerk,
        )

    @property
    def end(self) -> FloatArray:
        """Where it ends, (n,) rad."""
        return self.at(self.duration_s)[0]

    def followed_by(self, other: "TimedPath") -> "TimedPath":
        """Return this motion with `other`, which begins where it ends, after it."""
        return TimedPath(
            np.concatenate([self.starts_s, self.duration_s + other.starts_s]),
            self.duration_s + other.duration_s,
            *(np.concatenate([getattr(m, name) for m in (self, other)]) for name in ("q", "dq", "ddq", "jerk")),
        )
