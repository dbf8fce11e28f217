"""The source `planner`: follows the motions that its routine asks for, and thinks beside the ticks."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from so_arm_policy.control.grammar import Order, parse
from so_arm_policy.control.motion.config import PlannerConfig
from so_arm_policy.control.motion.ruckig_motion import braking, reaching, standing
from so_arm_policy.control.motion.timed_path import TimedPath
from so_arm_policy.control.planner.actions import Action, Follow, Interrupted, Leg, Look, Means, Motion, RoutineOf
from so_arm_policy.control.planner.desk import Desk
from so_arm_policy.control.planner.follow import reach, track
from so_arm_policy.control.planner.put import holds, put
from so_arm_policy.control.planner.thinking import Thinker, Thought
from so_arm_policy.control.tabletop import Tabletop
from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import InputError, SoArmError
from so_arm_policy.core.timegrid import NS
from so_arm_policy.core.values import JointSample

ROUTINES: dict[str, RoutineOf] = {"reach": reach, "track": track, "put": put}
MOVED_M = 0.012  # a thing that is seen so far from where it was has moved
CLEARLY_SEEN = 0.2  # of a thing may be hidden, for where it is to count
AGAIN_NS = NS  # after which a routine that failed is begun once more


@dataclass
class _Moving:
    """Legs that are still to be gone, the first one now. motion: what was asked for."""

    motion: Motion
    legs: list[tuple[Leg, TimedPath]]
    elsewhere: int = 0


class Planner:
    """Does what it is told by planning. Its `stage` and `trouble` say what it is at, and why it last gave up."""

    name = "planner"

    def __init__(self, means: Means, config: PlannerConfig, desk: Desk[Thought]) -> None:
        """desk: where the routine thinks: in a thread of its own on ROS, in simulated time in lockstep."""
        self._means, self._desk = means, desk
        self._thinker = Thinker(means, config)
        self._order: Order | None = None
        self._seen: tuple[int, Tabletop] | None = None
        self.reset()

    def tell(self, instruction: str) -> None:
        """Do `instruction` from now on, from rest. Raises InputError for what the grammar or no routine knows."""
        order = parse(instruction)
        if order.verb not in ROUTINES:
            raise InputError(f"planner: got {order.verb!r}, expected one of {sorted(ROUTINES)}")
        self._forget()
        self._order, self._break_off = order, True

    def see(self, table: Tabletop, stamp_ns: int) -> None:
        """Take note of what is on the table."""
        self._seen = (stamp_ns, table)

    @property
    def wanted(self) -> frozenset[str] | None:
        """Colours of the things that matter now; None for all things and places, empty while nothing matters."""
        if isinstance(self._doing, Look):
            return None
        watched = isinstance(self._doing, _Moving) and self._doing.motion.watched and self._doing.legs[0][0].free
        if self._order is not None and (watched or isinstance(self._doing, Follow)):
            return frozenset(said.color for said in self._order.steps)
        return frozenset()

    def reset(self) -> None:
        """Forget the instruction, what was seen and the pose."""
        self._forget()
        self._path: TimedPath | None = None
        self._began_ns = 0

    def _forget(self) -> None:
        """Forget the instruction and what was seen, but not the motion that is under way."""
        self._order = None
        self._since_ns = 0
        self._seen = None
        self._doing: _Moving | Look | Follow | None = None
        self._thinking = self._break_off = False
        self._resume: Callable[[], Action] | None = None
        self._wait_until_ns = 0
        self.stage, self.trouble = "idle", ""

    def command(self, now_ns: int, sample: JointSample) -> tuple[FloatArray, FloatArray]:
        """Return position (n,) rad and velocity (n,) rad/s for `now_ns`."""
        if self._path is None:
            robot = self._means.robot
            self._stand(now_ns, np.clip(sample.q, robot.lower, robot.upper))
        elif self._break_off:
            self._brake(now_ns)
        self._break_off = False
        try:
            self._advance(now_ns, sample)
        except SoArmError as error:
            self.trouble, self.stage = str(error), "trouble"
            self._brake(now_ns)
            self._doing, self._thinking, self._resume = None, False, None
            self._wait_until_ns = now_ns + AGAIN_NS
        q, dq, _ = self._reference(now_ns)
        return q, dq

    def _advance(self, now_ns: int, sample: JointSample) -> None:
        if self._thinking:
            thought = self._desk.take(now_ns)
            if thought is not None:
                self._thinking = False
                self._act(now_ns, thought)
        elif self._resume is not None:
            if self._over(now_ns):
                self._think(now_ns, self._resume)
                self._resume = None
        elif isinstance(self._doing, _Moving):
            self._move(now_ns, sample, self._doing)
        elif self._doing is not None:
            if self._seen is not None and self._seen[0] >= self._since_ns:
                self._think(now_ns, self._thinker.sent(self._seen[1]))
        elif self._order is not None and now_ns >= self._wait_until_ns and self._over(now_ns):
            self._think(now_ns, self._thinker.begun(ROUTINES[self._order.verb], self._order))

    def _think(self, now_ns: int, resume: Callable[[], Action]) -> None:
        """Let the routine say what comes next, for a motion from where this one ends."""
        assert self._path is not None
        end = self._path.end
        self._thinking = True
        self._desk.begin(now_ns, lambda: self._thinker.think(resume, end))

    def _act(self, now_ns: int, thought: Thought) -> None:
        action, self._since_ns = thought.action, now_ns
        if isinstance(action, Motion):
            self._doing = _Moving(action, list(thought.legs))
            self._follow(now_ns, thought.legs[0][1])
            self.stage = thought.legs[0][0].stage
        elif isinstance(action, Follow):
            self._follow(now_ns, reaching(*self._reference(now_ns), action.goal, self._thinker.limits))
            self._doing, self.stage = action, action.stage
        else:
            self._doing = action
            self.stage = "done" if action is None else action.stage
            if action is None:
                self._order = None

    def _move(self, now_ns: int, sample: JointSample, moving: _Moving) -> None:
        leg, path = moving.legs[0]
        if leg.holding and not holds(self._means, sample.q, path.end):
            self._interrupt(now_ns, f"{leg.stage}: the hand lost what it held")
        elif leg.free and moving.motion.watched and self._moved_away(moving):
            self._interrupt(now_ns, f"{leg.stage}: the thing is seen elsewhere")
        elif now_ns - self._began_ns >= (path.duration_s + leg.settle_s) * NS:
            moving.legs.pop(0)
            if moving.legs:
                self._follow(now_ns, moving.legs[0][1])
                self.stage = moving.legs[0][0].stage
            else:
                self._doing = None
                self._think(now_ns, self._thinker.sent(sample.q.copy()))

    def _moved_away(self, moving: _Moving) -> bool:
        """Whether the thing has been seen elsewhere twice."""
        if self._seen is None or self._seen[0] <= self._since_ns or moving.motion.thing is None:
            return False
        self._since_ns, table = self._seen
        was = moving.motion.table.things[moving.motion.thing]
        now = [t for t in table.things if t.words == was.words and t.hidden <= CLEARLY_SEEN]
        if len(now) == 1:
            moved = float(np.linalg.norm(now[0].position - was.position)) > MOVED_M
            moving.elsewhere = moving.elsewhere + 1 if moved else 0
        return moving.elsewhere >= 2

    def _interrupt(self, now_ns: int, why: str) -> None:
        self._brake(now_ns)
        self._doing, self._resume = None, self._thinker.thrown(Interrupted(why))

    def _brake(self, now_ns: int) -> None:
        self._follow(now_ns, braking(*self._reference(now_ns), self._thinker.limits))

    def _follow(self, now_ns: int, path: TimedPath) -> None:
        self._path, self._began_ns = path, now_ns

    def _stand(self, now_ns: int, q: FloatArray) -> None:
        self._follow(now_ns, standing(q))

    def _reference(self, now_ns: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        assert self._path is not None
        return self._path.at((now_ns - self._began_ns) / NS)

    def _over(self, now_ns: int) -> bool:
        assert self._path is not None
        return now_ns - self._began_ns >= self._path.duration_s * NS
