"""Arbitration: who may speak. Two writers, foreign names, sources that change hands at speed, fallbacks that fail."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.values import Proposal
from so_arm_policy.evaluate.faults.case import OTHER, Expect, FaultCase, Injector, Now
from so_arm_policy.evaluate.faults.inject import Ticked, Together, healthy, put, said
from so_arm_policy.safety.values import Fault, TickInput


class _Also(Injector):
    """Another source speaks too."""

    def __init__(self, q: Callable[[Now, Proposal], FloatArray]) -> None:
        """q: where that wants to be, (n,) rad; takes what the first source says."""
        self._q = q

    def arrive(self, now: Now, proposal: Proposal | None) -> list[Proposal]:
        if proposal is None:
            return []
        return [proposal, healthy(now, self._q(now, proposal), None, OTHER, now.tick + 1)]


class _SecondWriter(Injector):
    """A second process speaks as the source; both are heard in turn. It wants to be 0.15 rad beside the first."""

    def arrive(self, now: Now, proposal: Proposal | None) -> list[Proposal]:
        if proposal is None or now.tick % 2 == 0:
            return super().arrive(now, proposal)
        beside = put(proposal.q, now.joint, proposal.q[now.joint] - 0.15 * now.way)
        return [healthy(now, beside, None, now.source, 7000 + now.tick)]


def _beside(now: Now, proposal: Proposal) -> FloatArray:
    """0.05 rad beside what the source wants: near enough to take over."""
    return put(proposal.q, now.joint, proposal.q[now.joint] - 0.05 * now.way)


def _wild(now: Now, proposal: Proposal) -> FloatArray:
    return proposal.q + 0.3 * (-1.0) ** now.tick


def _nan(now: Now, proposal: Proposal) -> FloatArray:  # noqa: ARG001
    return np.full(len(proposal.q), np.nan)


def _fault(code: str, latches: bool) -> Injector:
    fault = Fault(code=code, text="somebody else writes to a command topic", latches=latches)
    return Ticked(lambda _, tick: replace(tick, faults=(fault,)))


def _foreign(now: Now, tick: TickInput) -> TickInput:
    """On the topic of the source arrives what another one says."""
    said_here = tick.proposals.get(now.source)
    if said_here is None:
        return tick
    return replace(tick, proposals={**tick.proposals, now.source: replace(said_here, source=OTHER)})


def _select(name: str) -> Injector:
    return Ticked(lambda now, tick: replace(tick, select=name if now.tick == 0 else None))


def _flips(now: Now, tick: TickInput) -> TickInput:
    """Two operators select two sources, each every 10 ticks."""
    turn = OTHER if now.tick // 10 % 2 == 0 else now.source
    return replace(tick, select=turn if now.tick % 10 == 0 else None)


def _flips_every_tick(now: Now, tick: TickInput) -> TickInput:
    return replace(tick, select=OTHER if now.tick % 2 == 0 else now.source)


_broken = said(q=lambda now, p: put(p.q, now.joint, np.nan))
_flickering = said(q=lambda now, p: put(p.q, now.joint, np.nan) if now.tick // 6 % 2 == 0 else p.q)
STOPS, LIMITS, IGNORES = Expect.STOPS, Expect.LIMITS, Expect.IGNORES

CASES = (
    FaultCase("two_writers", "two processes speak as one source in turn", LIMITS, injector=_SecondWriter),
    FaultCase(
        "second_publisher",
        "somebody else publishes as a source, seen in the ROS graph",
        STOPS,
        injector=lambda: _fault("source.unknown_publisher", latches=False),
    ),
    FaultCase(
        "bypass",
        "somebody else publishes to the motors, seen in the ROS graph",
        STOPS,
        injector=lambda: _fault("source.unknown_publisher", latches=True),
    ),
    FaultCase("foreign_name", "a command in the name of another source", STOPS, injector=lambda: Ticked(_foreign)),
    FaultCase(
        "unselected_shouts", "a source that is not selected says wild things", IGNORES, injector=lambda: _Also(_wild)
    ),
    FaultCase(
        "switch_at_speed",
        "at speed a source is selected that is near",
        LIMITS,
        injector=lambda: Together(_Also(_beside), _select(OTHER)),
    ),
    FaultCase(
        "switch_to_silent", "at speed a source is selected that never spoke", STOPS, injector=lambda: _select(OTHER)
    ),
    FaultCase(
        "switch_to_broken",
        "at speed a source is selected that says NaN",
        STOPS,
        injector=lambda: Together(_Also(_nan), _select(OTHER)),
    ),
    FaultCase(
        "switch_to_nobody", "a source is selected that does not exist", LIMITS, injector=lambda: _select("nobody")
    ),
    FaultCase(
        "two_operators",
        "two sources, 0.05 rad apart, are selected in turn, every 10 ticks",
        LIMITS,
        injector=lambda: Together(_Also(_beside), Ticked(_flips)),
    ),
    FaultCase(
        "two_operators_every_tick",
        "two sources, 0.05 rad apart, are selected in turn in every tick",
        LIMITS,
        injector=lambda: Together(_Also(_beside), Ticked(_flips_every_tick)),
    ),
    FaultCase(
        "fallback_takes_over",
        "the source says NaN, the armed fallback is near",
        LIMITS,
        injector=lambda: Together(_broken(), _Also(lambda now, p: now.simulator.q)),
        config={"fallback": OTHER},
    ),
    FaultCase(
        "fallback_fails_too",
        "the source says NaN and so does the armed fallback",
        STOPS,
        injector=lambda: Together(_broken(), _Also(_nan)),
        config={"fallback": OTHER},
    ),
    FaultCase(
        "fallback_far",
        "the source says NaN, the armed fallback is 0.6 rad away",
        STOPS,
        injector=lambda: Together(_broken(), _Also(lambda now, p: now.q0 + 0.6)),
        config={"fallback": OTHER},
    ),
    FaultCase(
        "source_flickers",
        "the source says NaN for 6 of 12 ticks, a fallback is armed",
        LIMITS,
        injector=lambda: Together(_flickering(), _Also(lambda now, p: now.q0)),
        config={"fallback": OTHER},
    ),
)
