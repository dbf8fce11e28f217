"""The supervisor, run again on the ticks of a bag.

Bags lose messages, or begin in the middle. Ticks are numbered, so that what is lost is known: no verdict is compared
that follows on it, until the state of the supervisor is known again (taken_up.py).
"""

from collections import Counter, deque
from collections.abc import Hashable
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.values import JointSample, MotorSample, Proposal
from so_arm_policy.evaluate.bags.messages import stamp_ns
from so_arm_policy.evaluate.bags.possible import Judged, differs_by_pace_only, judge, learn_pace
from so_arm_policy.evaluate.bags.recent import Parity, Recent
from so_arm_policy.evaluate.bags.taken_up import WINDOW, Possible, take_up
from so_arm_policy.safety.config import SupervisorConfig
from so_arm_policy.safety.supervisor import Supervisor, initial_state
from so_arm_policy.safety.values import Action, Fault, Finding, Mode, Output, SupervisorState, TickInput, Verdict
from so_arm_policy.sim.clearance import Clearance

T = TypeVar("T")
BEFORE = "what came before the bag"
LOST = "what was lost before"


class JudgeAgain:
    """Judges ticks in order. parity: verdicts against the recorded ones; actions, codes: counts of those compared.

    states: what the supervisor can remember now: one, none where that is not known, or two, between which it lies.
    """

    def __init__(self, config: SupervisorConfig, robot: RobotConfig, parity: Parity) -> None:
        """config: that of the recorded supervisor. Raises ConfigError."""
        self._config, self._robot = config, robot
        self._clearance = Clearance(robot, config.keep_outs.all, config.looking_m)
        self._supervisor: Supervisor | None = None
        self._ticks: deque[Any] = deque(maxlen=WINDOW)  # the last ones, none missing between
        self._lacking = LOST
        self.states: Possible = ()
        self.parity = parity
        self._kept: dict[str, tuple[Hashable, Any]] = {}
        self.actions: Counter[str] = Counter()
        self.codes: Counter[str] = Counter()

    def tick(
        self, tick: Any, samples: Recent[JointSample], motors: Recent[MotorSample], proposals: Recent[Proposal]
    ) -> None:
        """Judge what a SupervisorTick says had arrived. Raises ConfigError for one of a source that there is not."""
        numbered = hasattr(tick, "sequence")
        if self._supervisor is None:
            self._supervisor = Supervisor(self._config, self._robot, str(tick.selected), self._clearance)
            self._begin(tick, numbered)
            if not numbered and len(tick.command):
                self.parity.missing[BEFORE] += 1
                self.states = (self._estimated(tick),)
                return
        elif numbered and not self._follows(tick):
            return
        given = self._given(tick, samples, motors, proposals)
        if given is None:
            self._lose(LOST)
        else:
            self._compare(tick, given)
        self._ticks.append(tick)
        if not self.states and given is not None:
            self.states = take_up(self._supervisor.setup, list(self._ticks), given)
        if not numbered and not self.states:
            self.states = (self._estimated(tick),)
        self._say_since(tick, numbered)

    def _begin(self, tick: Any, numbered: bool) -> None:
        """Begin with the first tick of a supervisor, or in the middle of one that is at work."""
        if numbered and tick.sequence:
            self._lose(BEFORE)
        else:
            self.states = (initial_state(str(tick.selected)),)

    def _follows(self, tick: Any) -> bool:
        """Take in which ticks are missing before `tick`; whether it is one to judge."""
        before, now = int(self._ticks[-1].sequence), int(tick.sequence)
        if now == before:
            self.parity.missing["a number of its own"] += 1
            return False
        if now != before + 1:
            # A smaller number: a supervisor that was started again, and of which the bag has no tick before.
            self.parity.lost += now - before - 1 if now > before else now
            self._lose(LOST)
            self._ticks.clear()
        if now == 0:
            self.states = (initial_state(str(tick.selected)),)
        return True

    def _lose(self, lacking: str) -> None:
        self.states, self._lacking = (), lacking

    def _say_since(self, tick: Any, numbered: bool) -> None:
        """Keep up since when nothing can be compared."""
        if self.states:
            self.parity.unknown_since = ""
        elif numbered and not self.parity.unknown_since:
            self.parity.unknown_since = f"tick {int(tick.sequence)}"

    def _compare(self, tick: Any, given: TickInput) -> None:
        """Judge again, and compare where the verdict follows from what is known."""
        supervisor = self._supervisor
        assert supervisor is not None
        if len(self.states) > 1 and self._went_back(tick):
            self._lose(self._lacking)
        if not self.states:
            self.parity.missing[self._lacking] += 1
            return
        asked = supervisor.setup, self.states, given, self._clearance
        judged = judge(*asked)
        alike = [_is_as_recorded(each, tick) for each in judged]
        self.states = tuple(each.state for each in judged)
        if len(judged) > 1 and not judged[0].same(judged[1]):
            self.states = learn_pace(*asked, alike)
            if any(alike) or not differs_by_pace_only(*asked):
                self.parity.missing[self._lacking] += 1
                return
        self._count(judged[0].verdict, alike[0], tick)

    def _count(self, verdict: Verdict, same: bool, tick: Any) -> None:
        self.actions[verdict.action.value] += 1
        if verdict.code:
            self.codes[verdict.code] += 1
        got = verdict.action.value, int(verdict.mode), verdict.code
        recorded = str(tick.verdict), int(tick.state), str(tick.reason_code)
        self.parity.count(same, f"tick at {stamp_ns(tick.header.stamp)} ns: got {got}, recorded {recorded}")

    def _went_back(self, tick: Any) -> bool:
        """Whether the measured state is older than before: what is newest is then not what was newest ever."""
        before = self._ticks[-1] if self._ticks else tick
        return stamp_ns(tick.joints_stamp) < stamp_ns(before.joints_stamp)

    def _given(
        self, tick: Any, samples: Recent[JointSample], motors: Recent[MotorSample], proposals: Recent[Proposal]
    ) -> TickInput | None:
        """Return what the tick knew; None, and counted, where the bag lacks some of it."""
        # What others say is not looked at, and may have come long before the bag.
        asked = {str(tick.selected), self._config.fallback} | {n for s in self.states for n in (s.selected, s.acting)}
        sample = self._newest("joints", samples, stamp_ns(tick.joints_stamp)) if tick.joints_received_ns else None
        motor = self._newest("motors", motors, stamp_ns(tick.motors_stamp)) if tick.motors_received_ns else None
        heard = {
            source: self._newest(source, proposals, (source, int(sequence), stamp_ns(stamp)))
            for source, sequence, stamp in zip(tick.sources, tick.sequences, tick.stamps, strict=True)
            if source in asked
        }
        lacks = "joint_states" if tick.joints_received_ns and sample is None else ""
        lacks = lacks or ("motor_states" if tick.motors_received_ns and motor is None else "")
        lacks = lacks or ("proposals" if None in heard.values() else "")
        if lacks:
            self.parity.missing[lacks] += 1
            return None
        faults = zip(tick.fault_codes, tick.fault_texts, tick.fault_latches, strict=True)
        times = dict(zip(tick.sources, tick.received_ns, strict=True))
        return TickInput(
            now_ns=int(tick.now_ns),
            ros_now_ns=stamp_ns(tick.header.stamp),
            sample=replace(sample, received_ns=int(tick.joints_received_ns)) if sample else None,
            proposals={s: replace(p, received_ns=int(times[s])) for s, p in heard.items() if p is not None},
            estop=str(tick.estop) or None,
            reset=bool(tick.reset),
            select=str(tick.select) or None,
            faults=tuple(Fault(code=str(c), text=str(t), latches=bool(latches)) for c, t, latches in faults),
            motors=replace(motor, received_ns=int(tick.motors_received_ns)) if motor else None,
        )

    def _newest(self, what: str, recent: Recent[T], key: Hashable) -> T | None:
        """Return the value of `key`; one that a tick still goes by may have come long ago."""
        kept = self._kept.get(what)
        if kept is None or kept[0] != key:
            value = recent.get(key)
            if value is None:
                return None
            kept = self._kept[what] = (key, value)
        return kept[1]

    def _estimated(self, tick: Any) -> SupervisorState:
        """Return the state after a tick without a number: exact where the arm was held, soon so where it moved."""
        assert self._supervisor is not None
        mode = Mode(int(tick.state))
        latched = Finding(str(tick.reason_code), str(tick.reason_text), Action.ESTOP) if mode is Mode.ESTOP else None
        return replace(
            initial_state(str(tick.selected)),
            mode=mode,
            output=Output.at_rest(np.array(tick.command, dtype=np.float64)) if len(tick.command) else None,
            now_ns=int(tick.now_ns),
            ros_now_ns=stamp_ns(tick.header.stamp),
            ros_moved_ns=int(tick.now_ns),
            credit_ns=self._supervisor.setup.period_ns,
            latched=latched,
        )


def _is_as_recorded(judged: Judged, tick: Any) -> bool:
    verdict = judged.verdict
    got = verdict.action.value, int(verdict.mode), verdict.code, verdict.text, verdict.slowed, verdict.limp
    recorded = str(tick.verdict), int(tick.state), str(tick.reason_code), str(tick.reason_text)
    same = got == (*recorded, bool(tick.slowed), bool(tick.limp)) and verdict.doubts == tuple(tick.doubts)
    command = verdict.command if verdict.command is not None else np.zeros(0)
    return same and np.array_equal(command, tick.command) and judged.state.selected == tick.selected
