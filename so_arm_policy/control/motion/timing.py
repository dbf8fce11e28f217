"""How fast a path is gone along: at constant speed on its lines, with smooth changes of velocity near its corners.

Each change of velocity is time-optimal under the limits of acceleration and jerk and as long before its corner as
after it, so that a corner is cut within the triangle of its two lines (linear segments with blends, as in Kunz and
Stilman, "Turning paths into trajectories using parabolic blends", 2011, with a limit of jerk). A straight line from
rest to rest is as fast as it can be. Ruckig would ask a server outside for waypoints between, TOPP-RA knows no jerk.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Self

import numpy as np

from so_arm_policy.control.motion.config import PlannerConfig
from so_arm_policy.control.motion.timed_path import TimedPath
from so_arm_policy.core.arrays import FloatArray, frozen, vector
from so_arm_policy.core.robot import RobotConfig

SAME_RAD = 1e-9  # places on a path that are nearer to each other are one
_SLOWER = 0.97
_BISECTIONS = 40


@dataclass(frozen=True, kw_only=True, eq=False)
class MotionLimits:
    """How fast a motion may be: velocity rad/s, acceleration rad/s^2, jerk rad/s^3, each (n,) in the robot's order."""

    velocity: FloatArray
    acceleration: FloatArray
    jerk: FloatArray

    @classmethod
    def of(cls, config: PlannerConfig, robot: RobotConfig) -> Self:
        """Return the shares of the robot's limits that `config` names."""
        return cls(
            velocity=vector(robot.velocity * config.velocity_scale),
            acceleration=vector(robot.acceleration * config.acceleration_scale),
            jerk=vector(robot.jerk * config.jerk_scale),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Timing:
    """A motion along a path, and when it is off it: corners_s[i] are begin and end of the cut at path[corners[i]]."""

    motion: TimedPath
    corners: tuple[int, ...]
    corners_s: tuple[tuple[float, float], ...]


def time_path(path: FloatArray, limits: MotionLimits, stops: Collection[int] = ()) -> Timing:
    """Return the motion from rest at path[0] to rest at path[-1], (k, n) rad with k >= 1; deterministic.

    stops: numbers of places where it comes to rest, and so cuts no corner. Raises ShapeError.
    """
    path = frozen(path, (None, len(limits.velocity)), "path")
    kept = _different(path)
    if len(kept) == 1:
        still = np.zeros((1, path.shape[1]))
        return Timing(motion=TimedPath(np.zeros(1), 0.0, path[kept], still, still, still), corners=(), corners_s=())
    parts: list[Timing] = []
    first = 0
    for last in range(1, len(kept)):
        if last == len(kept) - 1 or kept[last] in stops:
            parts.append(_between_stops(path, kept[first : last + 1], limits))
            first = last
    motion, corners, corners_s = parts[0].motion, parts[0].corners, parts[0].corners_s
    for part in parts[1:]:
        later = motion.duration_s
        corners += part.corners
        corners_s += tuple((begin + later, end + later) for begin, end in part.corners_s)
        motion = motion.followed_by(part.motion)
    return Timing(motion=motion, corners=corners, corners_s=corners_s)


def _different(path: FloatArray) -> list[int]:
    """Return the numbers of the places that differ from the one kept before."""
    kept = [0]
    for i in range(1, len(path)):
        if np.abs(path[i] - path[kept[-1]]).max() > SAME_RAD:
            kept.append(i)
    return kept


def _between_stops(path: FloatArray, kept: list[int], limits: MotionLimits) -> Timing:
    """Time the places `kept` of `path` without a stop between."""
    points = path[kept]
    lines = np.diff(points, axis=0)
    speeds = _speeds(lines, limits)
    velocities = np.vstack([np.zeros_like(lines[:1]), speeds[:, None] * lines, np.zeros_like(lines[:1])])
    changes = [_Change.of(b - a, limits) for a, b in zip(velocities, velocities[1:], strict=False)]
    # A corner is passed, were it not cut, at these times; the first change begins at 0.
    passed = changes[0].duration_s / 2.0 + np.concatenate([[0.0], np.cumsum(1.0 / speeds)])
    rows: list[tuple[float, FloatArray, FloatArray, FloatArray, FloatArray]] = []
    zero = np.zeros(path.shape[1])
    corners_s = []
    for k, change in enumerate(changes):
        v = velocities[k]
        begin, end = passed[k] - change.duration_s / 2.0, passed[k] + change.duration_s / 2.0
        q = points[k] - v * change.duration_s / 2.0
        rows += change.pieces(float(begin), q, v)
        corners_s.append((float(begin), float(end)))
        if k < len(lines):
            v = velocities[k + 1]
            rows.append((float(end), points[k] + v * change.duration_s / 2.0, v, zero, zero))
    starts, *columns = zip(*rows, strict=True)
    duration = corners_s[-1][1]
    # Rounding may put the end of one piece behind the beginning of the next.
    times = np.minimum(np.maximum.accumulate(np.array(starts) - starts[0]), duration)
    motion = TimedPath(times, duration, *(np.array(column) for column in columns))
    return Timing(motion=motion, corners=tuple(kept[1:-1]), corners_s=tuple(corners_s[1:-1]))


@dataclass(frozen=True, eq=False)
class _Change:
    """The fastest change of velocity by `change` (n,) rad/s that all joints make in proportion.

    ramp_s: how long acceleration is built up, and given up again; flat_s: how long it stays between. rate: jerk of a
    change by 1, 1/s^2.
    """

    change: FloatArray
    ramp_s: float
    flat_s: float
    rate: float

    @classmethod
    def of(cls, change: FloatArray, limits: MotionLimits) -> Self:
        size = np.maximum(np.abs(change), 1e-100)
        most, rate = float((limits.acceleration / size).min()), float((limits.jerk / size).min())
        if not np.abs(change).any():
            return cls(change, 0.0, 0.0, 0.0)
        if most * most >= rate:
            return cls(change, 1.0 / math.sqrt(rate), 0.0, rate)
        return cls(change, most / rate, 1.0 / most - most / rate, rate)

    @property
    def duration_s(self) -> float:
        return 2.0 * self.ramp_s + self.flat_s

    def pieces(
        self, begin_s: float, q: FloatArray, dq: FloatArray
    ) -> list[tuple[float, FloatArray, FloatArray, FloatArray, FloatArray]]:
        """Return begin, q, dq, ddq and jerk of its three pieces, from `q` and `dq` on."""
        rows, ddq = [], np.zeros_like(q)
        for time, sign in ((self.ramp_s, 1.0), (self.flat_s, 0.0), (self.ramp_s, -1.0)):
            jerk = sign * self.rate * self.change
            rows.append((begin_s, q, dq, ddq, jerk))
            q = q + time * (dq + time * (ddq / 2.0 + time * jerk / 6.0))
            dq = dq + time * (ddq + time * jerk / 2.0)
            ddq = ddq + time * jerk
            begin_s += time
        return rows


def _speeds(lines: FloatArray, limits: MotionLimits) -> FloatArray:
    """Return how fast each line (k, n) rad is gone along, (k,) 1/s: as fast as leaves room for the changes at its ends.

    All that are too fast get slower until each fits; then each in turn gets as fast as the others let it.
    """
    fastest = 1.0 / (np.abs(lines) / limits.velocity).max(axis=1)
    speeds = fastest.copy()
    while True:
        tight = _lacking(lines, speeds, limits) > 0.0
        if not tight.any():
            break
        speeds[tight] *= _SLOWER
    for k in range(len(lines)):
        low, high = speeds[k], min(fastest[k], speeds[k] / _SLOWER**2)
        for _ in range(_BISECTIONS):
            speeds[k] = (low + high) / 2.0
            if (_lacking(lines, speeds, limits) > 0.0).any():
                high = speeds[k]
            else:
                low = speeds[k]
        speeds[k] = low
    return speeds


def _lacking(lines: FloatArray, speeds: FloatArray, limits: MotionLimits) -> FloatArray:
    """Return by how much the changes at the ends of each line last too long for it, (k,) s."""
    velocities = np.vstack([np.zeros_like(lines[:1]), speeds[:, None] * lines, np.zeros_like(lines[:1])])
    size = np.abs(np.diff(velocities, axis=0))
    share = 1.0 / np.maximum((size / limits.acceleration).max(axis=1), 1e-100)
    rate = 1.0 / np.maximum((size / limits.jerk).max(axis=1), 1e-100)
    times = np.where(share * share >= rate, 2.0 / np.sqrt(rate), 1.0 / share + share / rate)
    return (times[:-1] + times[1:]) / 2.0 - 1.0 / speeds
