"""How a motion was, one function for each figure. Smoothness is in evaluate/smoothness.py."""

from collections.abc import Sequence

import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import ShapeError
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.sim.clearance import Clearance
from so_arm_policy.sim.pairs import Nearest

MINUTE_S = 60.0


def path_length(points: FloatArray) -> float:
    """Return how far a point went: the sum of the Euclidean distances between rows of `points` (T, d).

    In rad for joints, in m for a fingertip. How economical a motion is, as in Judkins, Oleynikov and Stergiou,
    "Objective evaluation of expert and novice performance during robotic surgical training tasks", Surgical Endoscopy
    23, 2009 (total distance traveled). Raises ShapeError.
    """
    _check(points)
    return float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())


def fingertip_path_length(fingertips: FloatArray) -> float:
    """Return how far the fingertips of all arms went together, m. fingertips: (T, arms, 3) m. Raises ShapeError."""
    return sum(path_length(fingertips[:, arm]) for arm in range(fingertips.shape[1]))


def fingertip_speed(fingertips: FloatArray, dt_s: float) -> FloatArray:
    """Return the Euclidean norm over arms and axes of the speed of the fingertips, (T - 1,) m/s, of (T, arms, 3) m."""
    return np.linalg.norm(np.diff(fingertips.reshape(len(fingertips), -1), axis=0), axis=1) / dt_s


def tracking_error(commands: FloatArray, q: FloatArray) -> float | None:
    """Return the root mean square over ticks and joints of command less position one tick later, rad.

    commands, q: (T, n) rad; ticks without a command (NaN) do not count; None without any. It is the error of the servos
    on what was asked of them, not of the controller. The L2 norm by which Reyes and Kelly compare controllers,
    "Experimental evaluation of model-based controllers on a direct-drive robot arm", Mechatronics 11, 2001, divided
    here also by the number of joints. Raises ShapeError.
    """
    _check(q)
    if commands.shape != q.shape:
        raise ShapeError(f"tracking error: got commands {commands.shape}, expected {q.shape}")
    error = commands[:-1] - q[1:]
    error = error[np.isfinite(error).all(axis=1)]
    return float(np.sqrt((error**2).mean())) if error.size else None


def mechanical_energy(torque: FloatArray, dq: FloatArray, dt_s: float) -> float:
    """Return the sum over ticks and joints of |torque x speed| dt, J. torque: (T, n) N m; dq: (T, n) rad/s.

    Work done on and by the joints counts alike, as servos cannot store what they brake; the heat of holding still does
    not count. The mechanical energy expenditure of sources without recuperation of Aleshinsky, "An energy 'sources' and
    'fractions' approach to the mechanical energy expenditure problem", Journal of Biomechanics 19, 1986. Raises
    ShapeError.
    """
    _check(torque)
    _check(dq)
    if torque.shape != dq.shape:
        raise ShapeError(f"energy: got torques {torque.shape}, expected {dq.shape}")
    return float(np.abs(torque * dq).sum() * dt_s)


def least_clearance(q: FloatArray, clearance: Clearance, every: int) -> Nearest:
    """Return the nearest that the measured pose came to itself, the table, another arm or a keep-out volume.

    Every `every`-th row of q (T, n) rad is looked at, so that a shorter approach can be missed. As far as `clearance`
    looks at most; a grasp near the table comes as near as that, and the hands of two arms, which meet to pass something
    over, do not count. Objects on the table do not count either. Distances of convex hulls: sim/clearance.py, after
    Gilbert, Johnson and Keerthi, IEEE Journal on Robotics and Automation 4, 1988, as MuJoCo has it. Raises ShapeError.
    """
    _check(q)
    if every < 1 or not len(q):
        raise ShapeError(f"clearance: got every {every} of {len(q)} ticks, expected at least 1 of at least 1")
    found = (near for row in q[::every] for near in clearance.nearest(row) if near.kind != "hands")
    return min(found, key=lambda near: near.distance_m)


def per_minute(count: int, ticks: int) -> float:
    """Return how many ticks a minute something took that took `count` of `ticks` control ticks. Raises ShapeError."""
    if not 0 <= count <= ticks or ticks == 0:
        raise ShapeError(f"rate: got {count} of {ticks} ticks, expected 0 <= count <= ticks and ticks > 0")
    return count * MINUTE_S * CONTROL_HZ / ticks


def _check(rows: FloatArray | Sequence[float]) -> None:
    if np.ndim(rows) != 2 or not np.isfinite(rows).all():
        raise ShapeError(f"motion: got shape {np.shape(rows)}, expected finite (T, n)")
