"""The source `planner`: follows the motions that its routine asks for, and thinks beside the ticks."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from so_arm_policy.control.grammar import parse
from so_arm_policy.control.motion.config import PlannerConfig
from so_arm_policy.control.motion.ruckig_motion import braking, reaching, standing
from so_arm_policy.control.motion.timed_path import TimedPath
from so_arm_policy.control.planner.actions import Action, Follow, Interrupted, Means, Motion, RoutineOf
from so_arm_policy.control.planner.desk import Desk
from so_arm_policy.control.planner.follow import reach, track
from so_arm_policy.control.planner.hand_over import hand_over
from so_arm_policy.control.planner.put import put, with_same_grip
from so_arm_policy.control.planner.states import (
    NOTHING,
    Braking,
    Doing,
    Held,
    Idle,
    Moving,
    Thinking,
    Told,
    Waiting,
    Watching,
)
from so_arm_policy.control.planner.thinking import Thinker, Thought
from so_arm_policy.control.source import BLIND_NS, FUTURE_NS
from so_arm_policy.control.tabletop import Tabletop
from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import InputError, SoArmError
from so_arm_policy.core.timegrid import NS
from so_arm_policy.core.values import JointSample

ROUTINES: dict[str, RoutineOf] = {"reach": reach, "track": track, "put": put}
OF_TWO_ARMS: dict[str, RoutineOf] = {"hand over": hand_over}
MOVED_M = 0.012  # a thing that is seen so far from where it was has moved
ELSEWHERE = 2  # so often in succession, for one odd look is none
CLEARLY_SEEN = 0.2  # of a thing may be hidden, for where it is to count
DISPLACED_RAD = 0.3  # an arm that a hold left so far from where it was sent was moved by somebody
SHORT_NS = NS  # after a hold of no more than that, what was seen before it counts
LOST = "the hand lost what it held"
AGAIN_NS = NS  # after which a routine that failed is begun once more


@dataclass(frozen=True, eq=False)
class _Way:
    """A motion and when it began."""

    path: TimedPath
    began_ns: int


class Planner:
    """Does what it is told by planning. Its `stage` and `trouble` say what it is at, and why it last gave up."""

    name = "planner"

    def __init__(self, means: Means, config: PlannerConfig, desk: Desk[Thought]) -> None:
        """desk: where the routine thinks: in a thread of its own on ROS, in simulated time in lockstep."""
        self._means, self._desk = means, desk
        self._thinker = Thinker(means, config)
        self._routines = ROUTINES | (OF_TWO_ARMS if len(means.hands) == 2 else {})
        self._doing: Doing
        self._way: _Way | None
        self._seen: tuple[int, Tabletop] | None
        self._gave_up: str
        self.reset()

    def tell(self, instruction: str) -> None:
        """Do `instruction` from now on, from rest. Raises InputError for what the grammar or no routine knows."""
        order = parse(instruction)
        if order.verb not in self._routines:
            raise InputError(f"planner: got {order.verb!r}, expected one of {sorted(self._routines)}")
        self._doing, self._seen, self._gave_up = Told(order=order), None, ""

    def see(self, table: Tabletop, stamp_ns: int) -> None:
        """Take note of what is on the table."""
        self._seen = (stamp_ns, table)

    @property
    def stage(self) -> str:
        """What it is at, in words."""
        return self._doing.stage

    @property
    def blind(self) -> bool:
        """Whether it rests because no newer picture comes."""
        return isinstance(self._doing, Watching) and self._doing.blind_s > 0

    @property
    def trouble(self) -> str:
        """That it is blind, and for how long; else why it last gave up, or ""."""
        if not (isinstance(self._doing, Watching) and self._doing.blind_s):
            return self._gave_up
        got, expected = f"no newer picture for {self._doing.blind_s} s", f"one within {BLIND_NS / NS:g} s"
        return f"{self.stage}: got {got}, expected {expected}"

    @property
    def wanted(self) -> frozenset[str] | None:
        """Colours of the things that matter now; None for all things and places, empty while nothing matters."""
        return self._doing.wanted if isinstance(self._doing, Moving | Watching | Thinking | Held) else NOTHING

    def reset(self) -> None:
        """Forget the instruction, what was seen and the pose."""
        self._doing, self._way, self._seen, self._gave_up = Idle(), None, None, ""

    def command(self, now_ns: int, sample: JointSample) -> tuple[FloatArray, FloatArray]:
        """Return position (n,) rad and velocity (n,) rad/s for `now_ns`."""
        if self._way is None:
            self._stand(now_ns, sample)
        elif isinstance(self._doing, Told):
            self._brake(now_ns)
        try:
            self._advance(now_ns, sample)
        except SoArmError as error:
            assert not isinstance(self._doing, Idle)
            self._gave_up = str(error)
            self._brake(now_ns)
            self._doing = Waiting(order=self._doing.order, stage="trouble", until_ns=now_ns + AGAIN_NS)
        q, dq, _ = self._here(now_ns)
        return q, dq

    def standby(self, now_ns: int, sample: JointSample) -> tuple[FloatArray, FloatArray]:
        """Return where the arm is, at rest, with the hand as it was if it holds something; see StandsBy."""
        match self._doing:
            case Told(order=order):
                self._doing = Waiting(order=order)
            case Thinking() | Braking() | Moving() | Watching() as before:
                sent = self._here(now_ns)[0]
                self._doing = Held(order=before.order, before=before, sent=sent, since_ns=now_ns)
        self._stand(now_ns, sample)
        q, dq, _ = self._here(now_ns)
        return q, dq

    def _resume(self, now_ns: int, sample: JointSample, held: Held) -> None:
        """Go on after a hold, from where the arm is; whatever was planned was planned from elsewhere."""
        self._stand(now_ns, sample)
        moved = self._displaced(sample.q, held.sent)
        short = 0 <= now_ns - held.since_ns <= SHORT_NS
        match held.before:
            case Moving() as moving if not moved and (
                short or moving.motion.carrier is not None or self._holds(sample.q)
            ):
                self._go_on(now_ns, sample, moving)
            case Thinking() as before if not moved and (short or self._holds(sample.q)):
                self._doing = replace(before, was_held=True)
            case Braking() as before if not moved:
                self._think(now_ns, before, before.resume)
            case Watching() as before if not moved:
                self._doing = replace(before, since_ns=before.since_ns if short else now_ns, blind_s=0)
            case _:
                self._doing = Waiting(order=held.order)  # what it knew may be no longer so

    def _go_on(self, now_ns: int, sample: JointSample, moving: Moving) -> None:
        """Plan the legs that are left anew, from where the arm stands."""
        assert self._way is not None
        here, motion, start = self._way.path.end, moving.motion, moving.start
        hand = self._means.hands[motion.carrier or 0]
        legs = [with_same_grip(hand, leg, here) for leg, _ in moving.legs]
        if legs[0].holding and not hand.holds(sample.q, here):
            self._interrupt(now_ns, moving, LOST)
        else:
            self._doing = Thinking(order=moving.order, stage=moving.stage)
            self._desk.begin(now_ns, lambda: self._thinker.planned(motion, legs, start, here))

    def _displaced(self, q: FloatArray, sent: FloatArray) -> bool:
        away = np.abs(q - sent)
        away[[ik.gripper for ik in self._means.iks]] = 0.0
        return float(away.max()) > DISPLACED_RAD

    def _holds(self, q: FloatArray) -> bool:
        """Whether something is in a hand at measured joints q (n,) rad, at rest."""
        assert self._way is not None
        return any(hand.holds(q, self._way.path.end) for hand in self._means.hands)

    def _advance(self, now_ns: int, sample: JointSample) -> None:
        if isinstance(self._doing, Told):
            self._doing = Waiting(order=self._doing.order)
        doing = self._doing
        match doing:
            case Waiting(until_ns=until_ns):
                if now_ns >= until_ns and self._over(now_ns):
                    self._think(now_ns, doing, self._thinker.begun(self._routines[doing.order.verb], doing.order))
            case Thinking():
                thought = self._desk.take(now_ns)
                if thought is not None:
                    self._act(now_ns, sample, doing, thought)
            case Braking(resume=resume):
                if self._over(now_ns):
                    self._think(now_ns, doing, resume)
            case Moving():
                self._move(now_ns, sample, doing)
            case Held():
                self._resume(now_ns, sample, doing)
            case Watching():
                self._watch(now_ns, doing)

    def _watch(self, now_ns: int, watching: Watching) -> None:
        if self._seen is not None and watching.since_ns <= self._seen[0] <= now_ns + FUTURE_NS:
            self._think(now_ns, watching, self._thinker.sent(self._seen[1]), watching.wanted)
            return
        blind_ns = now_ns - watching.since_ns
        if blind_ns > BLIND_NS:
            if not watching.blind_s:
                self._brake(now_ns)
            self._doing = replace(watching, blind_s=blind_ns // NS)

    def _think(
        self,
        now_ns: int,
        after: Waiting | Braking | Moving | Watching,
        resume: Callable[[], Action],
        wanted: frozenset[str] | None = NOTHING,
    ) -> None:
        """Let the routine say what comes next, for a motion from where this one ends."""
        assert self._way is not None
        end = self._way.path.end
        self._doing = Thinking(order=after.order, stage=after.stage, wanted=wanted)
        self._desk.begin(now_ns, lambda: self._thinker.think(resume, end))

    def _act(self, now_ns: int, sample: JointSample, thinking: Thinking, thought: Thought) -> None:
        order = thinking.order
        match thought.action:
            case None:
                self._doing = Idle("done")
            case Motion() as motion:
                moving = Moving(order=order, motion=motion, legs=thought.legs, start=thought.start, since_ns=now_ns)
                if thinking.was_held:
                    self._go_on(now_ns, sample, moving)
                else:
                    self._go(now_ns, thought.legs[0][1])
                    self._doing = moving
            case action:
                if isinstance(action, Follow) and not thinking.was_held:
                    self._go(now_ns, reaching(*self._here(now_ns), action.goal, self._thinker.limits))
                self._doing = Watching(order=order, action=action, since_ns=now_ns)

    def _move(self, now_ns: int, sample: JointSample, moving: Moving) -> None:
        leg, path = moving.legs[0]
        if leg.free and moving.motion.watched:
            self._doing = moving = self._looked_after(now_ns, moving)
        if leg.holding and not self._means.hands[moving.motion.carrier or 0].holds(sample.q, path.end):
            self._interrupt(now_ns, moving, LOST)
        elif moving.elsewhere >= ELSEWHERE:
            self._interrupt(now_ns, moving, "the thing is seen elsewhere")
        elif leg.free and moving.motion.watched and now_ns - moving.since_ns > BLIND_NS:
            self._interrupt(now_ns, moving, f"got no newer picture within {BLIND_NS / NS:g} s")
        elif self._over(now_ns, leg.settle_s):
            if len(moving.legs) > 1:
                self._doing = replace(moving, legs=moving.legs[1:])
                self._go(now_ns, moving.legs[1][1])
            else:
                self._think(now_ns, moving, self._thinker.sent(sample.q.copy()))

    def _looked_after(self, now_ns: int, moving: Moving) -> Moving:
        """Take note of where the thing is seen."""
        thing = moving.motion.thing
        if self._seen is None or not moving.since_ns < self._seen[0] <= now_ns + FUTURE_NS or thing is None:
            return moving
        stamp_ns, table = self._seen
        was = moving.motion.table.things[thing]
        now = [t for t in table.things if t.words == was.words and t.hidden <= CLEARLY_SEEN]
        elsewhere = moving.elsewhere
        if len(now) == 1:
            moved = float(np.linalg.norm(now[0].position - was.position)) > MOVED_M
            elsewhere = elsewhere + 1 if moved else 0
        return replace(moving, since_ns=stamp_ns, elsewhere=elsewhere)

    def _interrupt(self, now_ns: int, moving: Moving, why: str) -> None:
        self._brake(now_ns)
        resume = self._thinker.thrown(Interrupted(f"{moving.stage}: {why}"))
        self._doing = Braking(order=moving.order, stage=moving.stage, resume=resume)

    def _brake(self, now_ns: int) -> None:
        self._go(now_ns, braking(*self._here(now_ns), self._thinker.limits))

    def _stand(self, now_ns: int, sample: JointSample) -> None:
        robot = self._means.robot
        q = sample.q
        for hand in self._means.hands if self._way is not None else ():
            q = hand.still_gripping(q, self._here(now_ns)[0])
        self._go(now_ns, standing(np.clip(q, robot.lower, robot.upper)))

    def _go(self, now_ns: int, path: TimedPath) -> None:
        self._way = _Way(path, now_ns)

    def _here(self, now_ns: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        assert self._way is not None
        return self._way.path.at((now_ns - self._way.began_ns) / NS)

    def _over(self, now_ns: int, settle_s: float = 0.0) -> bool:
        assert self._way is not None
        return now_ns - self._way.began_ns >= (self._way.path.duration_s + settle_s) * NS
