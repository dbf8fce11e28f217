"""The supervisor, run again on the ticks of a bag."""

from collections import Counter
from collections.abc import Hashable
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.values import JointSample, MotorSample, Proposal
from so_arm_policy.evaluate.bags.messages import stamp_ns
from so_arm_policy.evaluate.bags.recent import Parity, Recent
from so_arm_policy.safety.config import SupervisorConfig
from so_arm_policy.safety.supervisor import Supervisor, initial_state
from so_arm_policy.safety.values import Fault, Finding, Mode, Output, TickInput
from so_arm_policy.sim.clearance import Clearance

T = TypeVar("T")


class JudgeAgain:
    """Judges ticks in order. parity: verdicts against the recorded ones; actions, codes: counts of the verdicts."""

    def __init__(self, config: SupervisorConfig, robot: RobotConfig, parity: Parity) -> None:
        """config: that of the recorded supervisor. Raises ConfigError."""
        self._config, self._robot = config, robot
        self._clearance = Clearance(robot, config.keep_outs.all, config.looking_m)
        self._supervisor: Supervisor | None = None
        self.parity = parity
        self._kept: dict[str, tuple[Hashable, Any]] = {}
        self.actions: Counter[str] = Counter()
        self.codes: Counter[str] = Counter()

    def tick(
        self, tick: Any, samples: Recent[JointSample], motors: Recent[MotorSample], proposals: Recent[Proposal]
    ) -> None:
        """Judge what a SupervisorTick says had arrived."""
        if self._supervisor is None:
            self._supervisor = Supervisor(self._config, self._robot, str(tick.selected), self._clearance)
            if len(tick.command):  # recording began while it was at work
                self._take_over(self._supervisor, tick)
                self.parity.missing["what came before the bag"] += 1
                return
        given = self._given(tick, samples, motors, proposals)
        if given is None:
            self._take_over(self._supervisor, tick)
            return
        verdict = self._supervisor.step(given)
        self.actions[verdict.action.value] += 1
        if verdict.code:
            self.codes[verdict.code] += 1
        got = verdict.action.value, int(verdict.mode), verdict.code, verdict.text, verdict.slowed, verdict.limp
        recorded = str(tick.verdict), int(tick.state), str(tick.reason_code), str(tick.reason_text)
        same = got == (*recorded, bool(tick.slowed), bool(tick.limp)) and verdict.doubts == tuple(tick.doubts)
        command = verdict.command if verdict.command is not None else np.zeros(0)
        same = same and np.array_equal(command, tick.command) and self._supervisor.source == tick.selected
        self.parity.count(same, f"tick at {stamp_ns(tick.header.stamp)} ns: got {got[:3]}, recorded {recorded[:3]}")

    def _given(
        self, tick: Any, samples: Recent[JointSample], motors: Recent[MotorSample], proposals: Recent[Proposal]
    ) -> TickInput | None:
        """Return what the tick knew; None, and counted, where the bag lacks some of it."""
        sample = self._newest("joints", samples, stamp_ns(tick.joints_stamp)) if tick.joints_received_ns else None
        motor = self._newest("motors", motors, stamp_ns(tick.motors_stamp)) if tick.motors_received_ns else None
        heard = {
            source: self._newest(source, proposals, (source, int(sequence), stamp_ns(stamp)))
            for source, sequence, stamp in zip(tick.sources, tick.sequences, tick.stamps, strict=True)
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

    def _take_over(self, supervisor: Supervisor, tick: Any) -> None:
        """Go on as after `tick`, as far as it tells: exact where the arm was held, soon so where it moved."""
        mode, period_ns = Mode(int(tick.state)), supervisor.setup.period_ns
        latched = Finding(str(tick.reason_code), str(tick.reason_text)) if mode is Mode.ESTOP else None
        supervisor.state = replace(
            initial_state(str(tick.selected)),
            mode=mode,
            output=Output.at_rest(np.array(tick.command, dtype=np.float64)) if len(tick.command) else None,
            now_ns=int(tick.now_ns),
            ros_now_ns=stamp_ns(tick.header.stamp),
            ros_moved_ns=int(tick.now_ns),
            credit_ns=period_ns,
            latched=latched,
        )
