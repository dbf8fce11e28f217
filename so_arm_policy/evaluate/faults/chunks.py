"""Chunks: what the commands look like when a learned policy's chunks end, jump, lag, disagree or come too late."""

from collections import deque
from dataclasses import replace

import numpy as np

from so_arm_policy.core.timegrid import NS
from so_arm_policy.core.values import Proposal
from so_arm_policy.evaluate.faults.case import PROPOSAL_SILENCE, REACTION_TICKS, Expect, FaultCase, Injector, Now
from so_arm_policy.evaluate.faults.inject import Said, SaidAgain, Ticked, Together, put, said, stop_and_reset
from so_arm_policy.safety.values import Fault, TickInput

CHUNK_TICKS = 12
ALMOST_TOO_OLD_NS = 29 * NS // 10  # a tenth of a second before an observation is too old


class _Ends(Injector):
    """The chunk is over and its last row is sent again and again; `moving`: with the velocity it had."""

    def __init__(self, moving: bool) -> None:
        self._moving = moving
        self._last: Proposal | None = None

    def arrive(self, now: Now, proposal: Proposal | None) -> list[Proposal]:
        if proposal is None:
            return []
        self._last = self._last or proposal
        dq = self._last.dq if self._moving else np.zeros(len(self._last.q))
        return [replace(proposal, q=self._last.q, dq=dq)]


class _Lags(Injector):
    """The chunk is followed with a wrong delay: what was wanted `ticks` ago is said now, with new stamps."""

    def __init__(self, ticks: int) -> None:
        self._past: deque[Proposal] = deque(maxlen=ticks + 1)

    def arrive(self, now: Now, proposal: Proposal | None) -> list[Proposal]:
        if proposal is None:
            return []
        self._past.append(proposal)
        return [replace(proposal, q=self._past[0].q, dq=self._past[0].dq)]


def _after_reset(now: Now, old: Proposal, stamped: bool) -> Proposal:
    """A chunk made before a reset is followed after it. `stamped`: its commands bear the present time."""
    # It begins where the arm is held: only its age speaks against it.
    held = replace(old, q=now.simulator.q, dq=None, received_ns=now.now_ns, sequence=10**6 + now.tick)
    return replace(held, stamp_ns=now.now_ns) if stamped else held


def _late(stamped: bool) -> Injector:
    again = SaidAgain(lambda now, old: _after_reset(now, old, stamped))
    return Together(again, Ticked(stop_and_reset))


def _jumps(rad: float) -> Injector:
    """Each new chunk begins `rad` to one side or the other of where the last one was."""

    def change(now: Now, p: Proposal) -> Proposal:
        side = 1.0 if now.tick // CHUNK_TICKS % 2 == 0 else -1.0
        return replace(p, q=put(p.q, now.joint, p.q[now.joint] + side * rad))

    return Said(change)


def _two_modes(now: Now, p: Proposal) -> Proposal:
    """Two chunks, 0.1 rad to the left and to the right of the way, are followed in turn."""
    return replace(p, q=put(p.q, now.joint, p.q[now.joint] + (0.1 if now.tick % 2 else -0.1)))


def _bad_row(now: Now, p: Proposal) -> Proposal:
    """One row of each chunk, four ticks long, is no number."""
    return replace(p, q=put(p.q, now.joint, np.nan)) if now.tick % CHUNK_TICKS in range(4, 8) else p


def _flickers(now: Now, tick: TickInput) -> TickInput:
    alarm = Fault(code="monitor.disagreement", text="chunks disagree")
    return replace(tick, faults=(alarm,) if now.tick // 3 % 2 == 0 else ())


def _alarm(now: Now, tick: TickInput) -> TickInput:  # noqa: ARG001
    return replace(tick, faults=(Fault(code="monitor.disagreement", text="chunks disagree"),))


STOPS, LIMITS, IGNORES = Expect.STOPS, Expect.LIMITS, Expect.IGNORES

CASES = (
    FaultCase(
        "chunk_empty",
        "no chunk any more: the policy is silent",
        STOPS,
        injector=lambda: Said(lambda *_: None),
        reaction=PROPOSAL_SILENCE,
    ),
    FaultCase(
        "chunk_over", "the last row of a chunk is sent on and on, at rest", LIMITS, injector=lambda: _Ends(moving=False)
    ),
    FaultCase(
        "chunk_over_moving",
        "the last row of a chunk is sent on and on, with its velocity",
        LIMITS,
        injector=lambda: _Ends(moving=True),
    ),
    FaultCase("chunk_jumps", "each chunk begins 0.2 rad beside the last one", LIMITS, injector=lambda: _jumps(0.1)),
    FaultCase("chunk_jumps_far", "a chunk begins 0.6 rad beside the last one", STOPS, injector=lambda: _jumps(0.6)),
    FaultCase("chunk_two_modes", "two chunks are followed in turn", LIMITS, injector=lambda: Said(_two_modes)),
    FaultCase("chunk_bad_row", "one row of each chunk is no number", IGNORES, injector=lambda: Said(_bad_row)),
    FaultCase("chunk_wrong_delay", "chunks are followed 8 ticks too late", LIMITS, injector=lambda: _Lags(8)),
    FaultCase(
        "chunk_late_after_reset",
        "what was said before a reset arrives after it",
        STOPS,
        injector=lambda: _late(stamped=False),
    ),
    FaultCase(
        "chunk_old_after_reset",
        "after a reset new commands follow from a measurement before it",
        STOPS,
        injector=lambda: _late(stamped=True),
    ),
    FaultCase(
        "context_stuck",
        "the context grows older than it may",
        STOPS,
        injector=said(observation_stamp_ns=lambda now, p: now.now_ns - ALMOST_TOO_OLD_NS - now.tick * NS // 120),
        reaction=12 + REACTION_TICKS,
    ),
    FaultCase("monitor_alarm", "a monitor raises the alarm", STOPS, injector=lambda: Ticked(_alarm)),
    FaultCase("monitor_flickers", "an alarm comes and goes every 3 ticks", LIMITS, injector=lambda: Ticked(_flickers)),
)
