"""Joint positions over time, as a value that never changes."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from so_arm_policy.core.arrays import FloatArray, frozen
from so_arm_policy.core.errors import ChunkExpired, ShapeError
from so_arm_policy.core.timegrid import NS


@dataclass(frozen=True, eq=False)
class JointTrajectory:
    """Joint positions through which the joints pass smoothly.

    times_ns: (T,) int64, strictly increasing. positions: (T, n) rad. Between points the motion is a cubic
    Hermite spline with finite-difference (Catmull-Rom) tangents: continuous in position and velocity.
    Raises ShapeError.
    """

    times_ns: npt.NDArray[np.int64]
    positions: FloatArray = field(repr=False)
    tangents: FloatArray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Check the shapes and compute the tangents, rad/s."""
        times = np.array(self.times_ns, dtype=np.int64)
        positions = frozen(self.positions, (len(times), None), "trajectory positions")
        if len(times) == 0 or not (np.diff(times) > 0).all():
            raise ShapeError(f"trajectory: got times {times.tolist()}, expected at least one, strictly increasing")
        times.setflags(write=False)
        tangents = np.zeros_like(positions)
        if len(times) > 1:
            seconds = (times - times[0]) / NS
            tangents = np.gradient(positions, seconds, axis=0)
        tangents.setflags(write=False)
        object.__setattr__(self, "times_ns", times)
        object.__setattr__(self, "positions", positions)
        object.__setattr__(self, "tangents", tangents)

    @property
    def start_ns(self) -> int:
        """Time of the first point."""
        return int(self.times_ns[0])

    @property
    def end_ns(self) -> int:
        """Time of the last point."""
        return int(self.times_ns[-1])

    def sample(self, time_ns: int) -> tuple[FloatArray, FloatArray]:
        """Return position (n,) rad and velocity (n,) rad/s at `time_ns`; before the start the first point, at rest.

        Raises ChunkExpired after the last point.
        """
        if time_ns > self.end_ns:
            raise ChunkExpired(
                f"trajectory ended {(time_ns - self.end_ns) / 1e6:.1f} ms ago, expected a time it still covers"
            )
        if time_ns < self.start_ns:
            return self.positions[0], np.zeros_like(self.positions[0])
        i = int(np.searchsorted(self.times_ns, time_ns, side="right")) - 1
        if i == len(self.times_ns) - 1:
            return self.positions[i], self.tangents[i]
        return self._segment(i, time_ns)

    def _segment(self, i: int, time_ns: int) -> tuple[FloatArray, FloatArray]:
        h = float(self.times_ns[i + 1] - self.times_ns[i]) / NS
        u = float(time_ns - self.times_ns[i]) / NS / h
        p0, p1 = self.positions[i], self.positions[i + 1]
        m0, m1 = self.tangents[i] * h, self.tangents[i + 1] * h
        c2, c3 = 3 * (p1 - p0) - 2 * m0 - m1, 2 * (p0 - p1) + m0 + m1
        return p0 + u * (m0 + u * (c2 + u * c3)), (m0 + u * (2 * c2 + 3 * u * c3)) / h

    def after(self, time_ns: int) -> "JointTrajectory | None":
        """Return the part due at `time_ns` or later, or None when all of it is late."""
        keep = self.times_ns >= time_ns
        return JointTrajectory(self.times_ns[keep], self.positions[keep]) if keep.any() else None
