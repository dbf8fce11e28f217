"""Joint positions over time, as a value that never changes."""

import bisect
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
    known_tangents: (K, n) rad/s, the velocities of the first K points where they are known. Raises ShapeError.
    """

    times_ns: npt.NDArray[np.int64]
    positions: FloatArray = field(repr=False)
    known_tangents: FloatArray | None = field(default=None, repr=False)
    tangents: FloatArray = field(init=False, repr=False)
    # For `sample`, which runs on every tick: the times as ints, and (T, 2, n) position and tangent of each point.
    _times: list[int] = field(init=False, repr=False)
    _points: FloatArray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Check the shapes and compute the tangents, rad/s."""
        times = np.array(self.times_ns, dtype=np.int64)
        positions = frozen(self.positions, (len(times), None), "trajectory positions")
        gaps = np.diff(times)
        if len(times) == 0 or not (gaps > 0).all():
            raise ShapeError(f"trajectory: got times {times.tolist()}, expected at least one, strictly increasing")
        times.setflags(write=False)
        tangents = _tangents(gaps / NS, positions)
        if self.known_tangents is not None:
            tangents[: len(self.known_tangents)] = self.known_tangents
        points = np.stack([positions, tangents], axis=1)
        points.setflags(write=False)
        object.__setattr__(self, "times_ns", times)
        object.__setattr__(self, "positions", positions)
        object.__setattr__(self, "tangents", points[:, 1])
        object.__setattr__(self, "_times", times.tolist())
        object.__setattr__(self, "_points", points)

    @property
    def start_ns(self) -> int:
        """Time of the first point."""
        return self._times[0]

    @property
    def end_ns(self) -> int:
        """Time of the last point."""
        return self._times[-1]

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
        i = bisect.bisect_right(self._times, time_ns) - 1
        if i == len(self._times) - 1:
            return self.positions[i], self.tangents[i]
        return self._segment(i, time_ns)

    def _segment(self, i: int, time_ns: int) -> tuple[FloatArray, FloatArray]:
        """Cubic Hermite basis for p0, m0, p1, m1 and its derivative, applied in one product."""
        h = (self._times[i + 1] - self._times[i]) / NS
        u = (time_ns - self._times[i]) / NS / h
        v = 1.0 - u
        basis = np.array(
            [
                [v * v * (1.0 + 2.0 * u), h * u * v * v, u * u * (3.0 - 2.0 * u), -h * u * u * v],
                [-6.0 * u * v / h, v * (1.0 - 3.0 * u), 6.0 * u * v / h, u * (3.0 * u - 2.0)],
            ]
        )
        position, velocity = basis @ self._points[i : i + 2].reshape(4, -1)
        return position, velocity

    def after(self, time_ns: int) -> "JointTrajectory | None":
        """Return the part due at `time_ns` or later, or None when all of it is late."""
        keep = self.times_ns >= time_ns
        return JointTrajectory(self.times_ns[keep], self.positions[keep]) if keep.any() else None


def _tangents(gaps_s: FloatArray, positions: FloatArray) -> FloatArray:
    """Return finite differences of second order inside, of first order at the ends. gaps_s: (T - 1,); (T, n) rad/s."""
    if len(positions) == 1:
        return np.zeros_like(positions)
    gaps = gaps_s[:, None]
    slopes = (positions[1:] - positions[:-1]) / gaps
    tangents = np.empty_like(positions)
    tangents[0], tangents[-1] = slopes[0], slopes[-1]
    tangents[1:-1] = (gaps[1:] * slopes[:-1] + gaps[:-1] * slopes[1:]) / (gaps[1:] + gaps[:-1])
    return tangents
