"""Plans motions: `plan` finds a way, `timed` says how fast it is gone along, `move` does both, also while moving.

`MotionPlanner(PlannerConfig(), robot).move(q, [goal], clear, seed=0)` is sampled at each tick: `motion.at(elapsed_s)`.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from so_arm_policy.control.motion.clear import Clear
from so_arm_policy.control.motion.config import PlannerConfig
from so_arm_policy.control.motion.prm_star import prm_star
from so_arm_policy.control.motion.query import PlanError, Query, Search, Why
from so_arm_policy.control.motion.rrt_connect import rrt_connect
from so_arm_policy.control.motion.ruckig_motion import braking, reaching
from so_arm_policy.control.motion.shortcut import shortened
from so_arm_policy.control.motion.timed_path import TimedPath
from so_arm_policy.control.motion.timing import MotionLimits, time_path
from so_arm_policy.core.arrays import FloatArray, IntArray, vector
from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.timegrid import CONTROL_HZ

PLANNERS: dict[str, Search] = {"rrt_connect": rrt_connect, "prm_star": prm_star}
MOST_SEEDS = 2**31 - 1
SLOW_RAD_S = 1e-6  # a start that moves less is at rest


@dataclass(frozen=True, kw_only=True, eq=False)
class _Ends:
    """start: (n,) rad; goals: those that are free, nearest first, each (n,) rad; moving: joints that may move."""

    start: FloatArray
    goals: list[FloatArray]
    moving: IntArray


class MotionPlanner:
    """Finds motions of all joints of a robot that stay clear. Deterministic: the same question, the same motion."""

    def __init__(self, config: PlannerConfig, robot: RobotConfig) -> None:
        """Use the planner that `config` names. Raises ConfigError."""
        if config.planner not in PLANNERS:
            raise ConfigError(f"planner: got {config.planner!r}, expected one of {list(PLANNERS)}")
        self._config, self._robot = config, robot
        self.limits = MotionLimits.of(config, robot)

    def plan(
        self,
        start: FloatArray,
        goals: Sequence[FloatArray],
        clear: Clear,
        *,
        seed: int,
        still: Collection[int] = (),
    ) -> FloatArray:
        """Return a path (k, n) rad, k >= 2, from `start` (n,) to one of `goals`, each (n,) rad; k = 1 if it is there.

        A straight line to a goal is taken where it is free, to the nearest such goal. Goals that are not free are left
        out. still: numbers of joints that do not move, such as the gripper of an arm that carries something, and all of
        the other arm. Raises ShapeError for shapes and numbers that are not finite, InputError for poses outside the
        limits and goals that move what is to be still, PlanError where there is no path.
        """
        if not 0 <= seed < MOST_SEEDS:
            raise InputError(f"plan: got seed {seed}, expected 0..{MOST_SEEDS - 1}")
        ends = self._ends(start, goals, clear, still)
        moving = ends.moving

        def whole(part: FloatArray) -> FloatArray:
            q = ends.start.copy()
            q[..., moving] = part
            return q

        query = Query(
            start=ends.start[moving],
            goals=np.array([goal[moving] for goal in ends.goals]),
            lower=self._robot.lower[moving],
            upper=self._robot.upper[moving],
            free=lambda part: bool(clear(whole(part)).room_m > 0.0),  # not numpy's: OMPL does not take it
            seed=seed,
            config=self._config,
        )
        path = self._found(query)
        return np.array([whole(part) for part in path])

    def timed(self, path: FloatArray, clear: Clear) -> TimedPath:
        """Return the motion along a free `path` (k, n) rad, from rest to rest. Raises ShapeError.

        Corners are cut where that is free, and else come to rest at; also where the arm, stopped on the way around it,
        would run on into a keep-out volume.
        """
        stops: set[int] = set()
        while True:
            timing = time_path(path, self.limits, stops)
            blocked = {
                corner
                for corner, (begin, end) in zip(timing.corners, timing.corners_s, strict=True)
                if not (self._free(timing.motion, begin, end, clear) and self._stops(timing.motion, begin, end, clear))
            }
            if not blocked:
                return timing.motion
            stops |= blocked

    def move(
        self,
        q: FloatArray,
        goals: Sequence[FloatArray],
        clear: Clear,
        *,
        seed: int,
        dq: FloatArray | None = None,
        ddq: FloatArray | None = None,
        still: Collection[int] = (),
    ) -> TimedPath:
        """Return a motion from q (n,) rad, dq rad/s, ddq rad/s^2, by default at rest, to rest at one of `goals`.

        From rest it is `plan` and `timed`. A start that moves goes to a goal by the fastest motion there is where that
        is free; else it brakes first, on whatever that meets, and goes on from where it stands. dq and ddq are what
        is commanded, not measured. Raises what `plan` does.
        """
        zeros = np.zeros(len(self._robot.joints))
        dq, ddq = (zeros if given is None else vector(given, len(zeros), "start") for given in (dq, ddq))
        if max(np.abs(dq).max(), np.abs(ddq).max()) <= SLOW_RAD_S:
            return self.timed(self.plan(q, goals, clear, seed=seed, still=still), clear)
        if np.abs(np.concatenate([dq, ddq])[[*still, *(len(zeros) + i for i in still)]]).max(initial=0.0) > SLOW_RAD_S:
            raise InputError(f"plan: got joints {sorted(still)} that move, expected them still")
        stopping = braking(q, dq, ddq, self.limits)
        ends = self._ends(stopping.end, goals, clear, still)
        for goal in ends.goals:
            motion = reaching(q, dq, ddq, goal, self.limits)
            if self._free(motion, 0.0, motion.duration_s, clear):
                return motion
        onwards = self.plan(stopping.end, ends.goals, clear, seed=seed, still=still)
        return stopping.followed_by(self.timed(onwards, clear))

    def _found(self, query: Query) -> FloatArray:
        """Return a path (k, m) rad. Raises PlanError."""
        for goal in query.goals:
            if np.array_equal(goal, query.start):
                return goal[None]
            if query.straight(query.start, goal):
                return np.stack([query.start, goal])
        path = PLANNERS[self._config.planner](query)
        if path is None:
            got = f"{self._config.planner} found none in {self._config.iterations} iterations"
            raise PlanError(Why.NO_PATH, f"{got} to {len(query.goals)} goals, expected one")
        return shortened(query, path)

    def _ends(self, start: FloatArray, goals: Sequence[FloatArray], clear: Clear, still: Collection[int]) -> _Ends:
        """Check what a path is to begin and end with."""
        size = len(self._robot.joints)
        begin = self._within(start, "start")
        if not len(goals):
            raise InputError("plan: got no goals, expected at least one")
        wanted = sorted((self._within(g, "goal") for g in goals), key=lambda g: float(np.linalg.norm(g - begin)))
        moving = np.array([i for i in range(size) if i not in still], dtype=np.int64)
        if len(moving) + len(set(still)) != size or not len(moving):
            raise InputError(f"plan: got joints {sorted(still)} still, expected some of 0..{size - 1}, not all")
        for i in still:
            if any(goal[i] != begin[i] for goal in wanted):
                name = self._robot.joint_names[i]
                raise InputError(f"plan: got a goal that moves joint {name!r}, expected it still at {begin[i]:.3f} rad")
        near = clear(begin)
        if not near.room_m > 0.0:
            raise PlanError(Why.START_NOT_FREE, str(near))
        free = [goal for goal in wanted if clear(goal).room_m > 0.0]
        if not free:
            raise PlanError(Why.GOALS_NOT_FREE, "; ".join(str(clear(goal)) for goal in wanted))
        return _Ends(start=begin, goals=free, moving=moving)

    def _within(self, q: FloatArray, what: str) -> FloatArray:
        """Return `q` (n,) rad, read-only. Raises ShapeError, and InputError outside the limits."""
        robot = self._robot
        pose = vector(q, len(robot.joints), what)
        outside = [
            f"{joint.name} {value:.4f} of {joint.lower}..{joint.upper}"
            for joint, value in zip(robot.joints, pose.tolist(), strict=True)
            if not joint.lower <= value <= joint.upper
        ]
        if outside:
            raise InputError(f"plan: got {what} outside the limits: {', '.join(outside)} rad")
        return pose

    def _stops(self, motion: TimedPath, begin_s: float, end_s: float, clear: Clear) -> bool:
        """Whether whoever brakes, straight on and with all that the robot can, stands before any keep-out volume.

        As the supervisor asks; see safety/geometry.py.
        """
        if clear(motion.at(begin_s)[0]).kept_out is None:
            return True
        robot = self._robot
        for t in self._times(begin_s, end_s):
            q, dq, _ = motion.at(t)
            # Jerk makes it half the time longer that full braking takes to build up; and a tick passes before.
            braking_s = float((np.abs(dq) / robot.acceleration + robot.acceleration / robot.jerk).max()) / 2.0
            if clear(q + dq * (braking_s + 1.0 / CONTROL_HZ)).barred is not None:
                return False
        return True

    def _times(self, begin_s: float, end_s: float) -> list[float]:
        """Return times between which a motion goes on by config.resolution_rad at most."""
        times, t = [], begin_s
        step = self._config.resolution_rad / float(np.linalg.norm(self.limits.velocity))
        while t < end_s:
            times.append(t)
            t += step
        return [*times, end_s]

    def _free(self, motion: TimedPath, begin_s: float, end_s: float, clear: Clear) -> bool:
        """Whether a part of `motion` is free and within the limits, at config.resolution_rad."""
        for t in self._times(begin_s, end_s):
            q = motion.at(t)[0]
            if not ((q >= self._robot.lower) & (q <= self._robot.upper)).all() or not clear(q).room_m > 0.0:
                return False
        return True
