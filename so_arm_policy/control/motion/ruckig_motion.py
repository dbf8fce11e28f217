"""Motions from a state that moves already, by Ruckig: to rest, and straight to a goal.

Time-optimal under limits of velocity, acceleration and jerk, each joint for itself. After Berscheid and Kroeger,
"Jerk-limited real-time trajectory generation with arbitrary target states", RSS 2021.
"""

from collections.abc import Callable

import numpy as np
import ruckig

from so_arm_policy.control.motion.timed_path import TimedPath
from so_arm_policy.control.motion.timing import SAME_RAD, MotionLimits
from so_arm_policy.core.arrays import FloatArray, vector
from so_arm_policy.core.errors import InputError

SHORTEST_S = 1e-9  # pieces that are shorter come from rounding


def braking(q: FloatArray, dq: FloatArray, ddq: FloatArray, limits: MotionLimits) -> TimedPath:
    """Return the fastest motion from q (n,) rad, dq rad/s, ddq rad/s^2 to rest anywhere. Raises ShapeError."""

    def to_rest(wanted: ruckig.InputParameter) -> None:
        wanted.control_interface = ruckig.ControlInterface.Velocity

    return _motion(q, dq, ddq, limits, to_rest)


def reaching(q: FloatArray, dq: FloatArray, ddq: FloatArray, goal: FloatArray, limits: MotionLimits) -> TimedPath:
    """Return the fastest motion from q (n,) rad, dq rad/s, ddq rad/s^2 to rest at `goal` (n,) rad; from rest straight.

    Raises ShapeError, and InputError where Ruckig finds none.
    """
    target = vector(goal, len(limits.velocity), "goal")
    if np.abs(np.subtract(q, target)).max() < SAME_RAD and max(np.abs(dq).max(), np.abs(ddq).max()) < SAME_RAD:
        return standing(target)

    def to_goal(wanted: ruckig.InputParameter) -> None:
        wanted.target_position = target.tolist()

    return _motion(q, dq, ddq, limits, to_goal)


def _motion(
    q: FloatArray,
    dq: FloatArray,
    ddq: FloatArray,
    limits: MotionLimits,
    set_target: Callable[[ruckig.InputParameter], None],
) -> TimedPath:
    size = len(limits.velocity)
    wanted = ruckig.InputParameter(size)
    wanted.synchronization = ruckig.Synchronization.Phase
    wanted.current_position = vector(q, size, "joint positions").tolist()
    wanted.current_velocity = vector(dq, size, "joint velocities").tolist()
    wanted.current_acceleration = vector(ddq, size, "joint accelerations").tolist()
    wanted.max_velocity = limits.velocity.tolist()
    wanted.max_acceleration = limits.acceleration.tolist()
    wanted.max_jerk = limits.jerk.tolist()
    set_target(wanted)
    trajectory = ruckig.Trajectory(size)
    try:
        result = ruckig.Ruckig(size).calculate(wanted, trajectory)
    except ruckig.RuckigError as error:  # of numbers so small that it finds no profile
        raise InputError(f"motion: {error}, expected a state that Ruckig can go on from") from error
    if result not in (ruckig.Result.Working, ruckig.Result.Finished):
        raise InputError(f"motion: Ruckig got {wanted}, said {result}, expected a state that it can go on from")
    return _as_pieces(trajectory)


def standing(q: FloatArray) -> TimedPath:
    """Return the motion that stays at `q` (n,) rad."""
    zero = np.zeros((1, len(q)))
    return TimedPath(np.zeros(1), 0.0, q[None], zero, zero, zero)


def _as_pieces(trajectory: ruckig.Trajectory) -> TimedPath:
    """Return the same motion in pieces of constant jerk: a new one begins wherever the jerk of a joint changes."""
    (profiles,) = trajectory.profiles
    # A state that is beyond the limits is led back first; that phase comes before the others.
    ends = [np.cumsum([*profile.brake.t, *profile.t]) for profile in profiles]
    jerks = [np.array([*profile.brake.j, *profile.j, 0.0]) for profile in profiles]
    duration = trajectory.duration
    times = np.unique(np.concatenate([np.zeros(1), *ends]))
    times = times[times < duration - SHORTEST_S] if duration > SHORTEST_S else np.zeros(1)
    starts = times[np.diff(times, prepend=-1.0) > SHORTEST_S]
    middles = (starts + np.append(starts[1:], duration)) / 2.0
    q, dq, ddq = (np.array(column) for column in zip(*(trajectory.at_time(t) for t in starts), strict=True))
    jerk = np.column_stack([j[np.searchsorted(end, middles, side="right")] for end, j in zip(ends, jerks, strict=True)])
    return TimedPath(starts, duration, q, dq, ddq, jerk)
