"""What a planner thinks: its routine's next action, and if that is a motion, how it goes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from so_arm_policy.control.grammar import Order
from so_arm_policy.control.motion.clear import Near
from so_arm_policy.control.motion.config import PlannerConfig
from so_arm_policy.control.motion.planner import MotionPlanner
from so_arm_policy.control.motion.timed_path import TimedPath
from so_arm_policy.control.motion.timing import MotionLimits, time_path
from so_arm_policy.control.planner.actions import Action, Follow, Leg, Means, Motion, Routine, RoutineOf
from so_arm_policy.control.tabletop import Tabletop
from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import InputError, SoArmError

MOST_RELAXED_M = 0.015  # of clearance given up at a start or goal that is too near to something already
_SPARE_M = 0.0005
KEEP_OUT_SPARE_M = 0.005  # in what motions keep away from keep-out volumes: a start may be nearer by that
BARRED_STEP_RAD = 0.02  # between poses of a straight way that are looked at


@dataclass(frozen=True, eq=False)
class Thought:
    """What comes next; None at the end of the routine. legs: of a motion from `start` (n,) rad, with times of each."""

    action: Action | None
    start: FloatArray
    legs: tuple[tuple[Leg, TimedPath], ...] = ()


class Thinker:
    """Runs one routine at a time. `think` may run in another thread than the rest, one at a time."""

    def __init__(self, means: Means, config: PlannerConfig) -> None:
        """config: of the motions. Raises ConfigError."""
        self._means = means
        self._planner = MotionPlanner(config, means.robot)
        self.limits = self._planner.limits
        self._routine: Routine | None = None
        self._motions = 0

    def begun(self, routine: RoutineOf, order: Order) -> Callable[[], Action]:
        """Return what begins a routine."""

        def begin() -> Action:
            self._routine, self._motions = routine(self._means, order), 0
            return next(self._routine)

        return begin

    def sent(self, result: Tabletop | FloatArray) -> Callable[[], Action]:
        """Return what tells the routine the result of its action."""

        def send() -> Action:
            assert self._routine is not None
            return self._routine.send(result)

        return send

    def thrown(self, error: SoArmError) -> Callable[[], Action]:
        """Return what tells the routine that its action failed."""

        def throw() -> Action:
            assert self._routine is not None
            return self._routine.throw(error)

        return throw

    def think(self, resume: Callable[[], Action], start: FloatArray) -> Thought:
        """Let the routine go on, and plan its motion from rest at `start` (n,) rad. Raises SoArmError."""
        try:
            action = resume()
        except StopIteration:
            return Thought(None, start)
        if isinstance(action, Motion):
            return self.planned(action, action.legs, start, start)
        if isinstance(action, Follow) and self._barred(action.stage, start, action.goal):
            raise InputError(f"{action.stage}: got a way there through a keep-out volume, expected a free one")
        return Thought(action, start)

    def planned(self, motion: Motion, legs: Sequence[Leg], start: FloatArray, here: FloatArray) -> Thought:
        """Plan `legs` of a motion that began at `start` (n,) rad, from rest `here` (n,) rad. Raises SoArmError."""
        self._show(motion, start)
        planned = []
        for leg in legs:
            barred = self._barred(leg.stage, here, leg.goal)
            path = self._free(leg, here) if leg.free or barred else self._straight(leg, here)
            planned.append((leg, path))
            here = path.end
        return Thought(motion, start, tuple(planned))

    def _barred(self, stage: str, start: FloatArray, goal: FloatArray) -> bool:
        """Whether a keep-out volume is on the straight way. Raises InputError where the goal is in one, or too near."""
        near = self._means.surroundings.near
        end = near(goal)
        if end.barred is not None:
            raise InputError(f"{stage}: got a goal in a keep-out volume or too near to it: {end.barred}")
        if end.kept_out is None:
            return False
        count = int(np.ceil(np.linalg.norm(goal - start) / BARRED_STEP_RAD))
        return any(near(start + k / count * (goal - start)).barred is not None for k in range(count))

    def _show(self, motion: Motion, start: FloatArray) -> None:
        thing = motion.thing
        if motion.carrier is not None and thing is not None:
            self._means.surroundings.show(motion.table, carried={motion.carrier: thing}, q=start)
        else:
            self._means.surroundings.show(motion.table, ignored=() if thing is None else (thing,))

    def _straight(self, leg: Leg, start: FloatArray) -> TimedPath:
        limits = self.limits
        slow = MotionLimits(
            velocity=limits.velocity * leg.pace, acceleration=limits.acceleration * leg.pace, jerk=limits.jerk
        )
        return time_path(np.stack([start, leg.goal]), slow).motion

    def _free(self, leg: Leg, start: FloatArray) -> TimedPath:
        """Plan around what is in the way; where start or goal are too near to it already, that much nearer is free."""
        near = self._means.surroundings.near
        at_start, at_goal = near(start), near(leg.goal)
        lacking = max(0.0, *(_SPARE_M - found.room_m for found in (at_start, at_goal)))
        if lacking > MOST_RELAXED_M:
            raise InputError(f"{leg.stage}: got {at_start}; at the goal {at_goal}")
        # An arm that sagged, or was held, near a keep-out volume may be there, but may not go there.
        kept_out = 0.0 if at_start.kept_out is None else max(0.0, _SPARE_M - at_start.kept_out.room_m)
        if kept_out > KEEP_OUT_SPARE_M:
            raise InputError(f"{leg.stage}: got a start in a keep-out volume or too near to it: {at_start.kept_out}")

        def clear(q: FloatArray) -> Near:
            return near(q).relaxed(lacking, kept_out)

        self._motions += 1
        return self._planner.move(start, [leg.goal], clear, seed=self._motions, still=self._still(leg, start))

    def _still(self, leg: Leg, start: FloatArray) -> tuple[int, ...]:
        """Return the joints of arms that stay, and grippers that do."""
        there = leg.goal == start
        if there.all():
            return ()
        still: set[int] = set()
        for hand in self._means.hands:
            joints = hand.ik.joints
            still |= {int(i) for i in (joints if there[joints].all() else [hand.ik.gripper]) if there[i]}
        return tuple(sorted(still))
