"""Stamps: proposals and measured states that do not come, come late or out of order, or are stamped wrongly."""

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from so_arm_policy.core.timegrid import NS
from so_arm_policy.core.values import JointSample, Proposal
from so_arm_policy.evaluate.faults.case import PROPOSAL_SILENCE, STATE_SILENCE, Expect, FaultCase, Injector, Now, Onset
from so_arm_policy.evaluate.faults.inject import Measured, Said, said
from so_arm_policy.safety.values import TickInput


class _Keeps(Injector):
    """One field of all proposals stays what it was in the first."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._kept: dict[str, Any] = {}

    def arrive(self, now: Now, proposal: Proposal | None) -> list[Proposal]:
        if proposal is not None and not self._kept:
            self._kept[self._name] = getattr(proposal, self._name)
        return [replace(p, **self._kept) for p in super().arrive(now, proposal)]


def _late(ticks: int) -> Callable[[], Injector]:
    """Proposals arrive so many ticks late, stamped when they were made."""

    class Late(Injector):
        def __init__(self) -> None:
            self._waiting: deque[tuple[int, Proposal]] = deque()

        def arrive(self, now: Now, proposal: Proposal | None) -> list[Proposal]:
            if proposal is not None:
                self._waiting.append((now.tick, proposal))
            arrived = []
            while self._waiting and now.tick - self._waiting[0][0] >= ticks:
                arrived.append(replace(self._waiting.popleft()[1], received_ns=now.now_ns))
            return arrived

    return Late


class _Bunched(Injector):
    """Nothing arrives for `ticks` periods, then all of it at once, as when a lock was held."""

    def __init__(self, ticks: int) -> None:
        self._ticks = ticks
        self._held: list[Proposal] = []

    def arrive(self, now: Now, proposal: Proposal | None) -> list[Proposal]:
        self._held += [] if proposal is None else [proposal]
        if now.tick % self._ticks != self._ticks - 1:
            return []
        held, self._held = self._held, []
        return [replace(p, received_ns=now.now_ns) for p in held]


class _SwapsPairs(Injector):
    """Each two proposals arrive in the wrong order, one a tick."""

    def __init__(self) -> None:
        self._held: Proposal | None = None

    def arrive(self, now: Now, proposal: Proposal | None) -> list[Proposal]:
        if now.tick % 2 == 1:
            return super().arrive(now, proposal)
        before, self._held = self._held, proposal
        return [] if before is None else [replace(before, received_ns=now.now_ns)]


class _Replays(Injector):
    """The source dies, and what it said since the fault's first 20 ticks is sent again and again as it was."""

    def __init__(self, restamped: bool) -> None:
        self._restamped = restamped
        self._taped: list[Proposal] = []

    def arrive(self, now: Now, proposal: Proposal | None) -> list[Proposal]:
        if now.tick < 20:
            self._taped += [] if proposal is None else [proposal]
            return super().arrive(now, proposal)
        if not self._taped:
            return []
        again = self._taped[(now.tick - 20) % len(self._taped)]
        again = replace(again, received_ns=now.now_ns)
        return [replace(again, stamp_ns=now.now_ns, observation_stamp_ns=now.now_ns) if self._restamped else again]


class _FreezesState(Injector):
    """The measured pose stays what it was; `stamped`: under stamps that go on."""

    def __init__(self, stamped: bool) -> None:
        self._stamped = stamped
        self._frozen: JointSample | None = None

    def see(self, now: Now, tick: TickInput) -> list[TickInput]:
        self._frozen = self._frozen or now.sample
        if not self._stamped:
            return [replace(tick, sample=self._frozen)]
        return [replace(tick, sample=replace(self._frozen, stamp_ns=now.now_ns, received_ns=now.now_ns))]


def _drops(when: Callable[[Now], bool]) -> Callable[[], Injector]:
    return lambda: Said(lambda now, p: None if when(now) else p)


def _measured_every(ticks: int) -> Callable[[], Injector]:
    """Only every so many states arrive, the last one stays in place."""

    class Rarely(Injector):
        def __init__(self) -> None:
            self._last: JointSample | None = None

        def see(self, now: Now, tick: TickInput) -> list[TickInput]:
            self._last = now.sample if now.tick % ticks == 0 else self._last
            return [replace(tick, sample=self._last)]

    return Rarely


STOPS, LIMITS, STANDS = Expect.STOPS, Expect.LIMITS, Expect.STANDS

CASES = (
    FaultCase(
        "source_dies",
        "the source falls silent in the midst of its motion",
        STOPS,
        reaction=PROPOSAL_SILENCE,
        injector=_drops(lambda now: True),
    ),
    FaultCase("one_missing", "one proposal is lost", LIMITS, injector=_drops(lambda now: now.tick == 0), lasts=1),
    FaultCase(
        "every_other_missing", "every other proposal is lost", LIMITS, injector=_drops(lambda now: now.tick % 2 == 0)
    ),
    FaultCase(
        "three_of_four_missing",
        "three of four proposals are lost",
        LIMITS,
        injector=_drops(lambda now: now.tick % 4 != 3),
    ),
    FaultCase("late_proposals", "proposals arrive 83 ms late", STOPS, reaction=PROPOSAL_SILENCE, injector=_late(10)),
    FaultCase("bunched_proposals", "proposals arrive four at a time", LIMITS, injector=lambda: _Bunched(4)),
    FaultCase("zero_stamps", "proposals without a stamp", STOPS, injector=said(stamp_ns=lambda *_: 0)),
    FaultCase(
        "zero_observation",
        "proposals that do not say from what they follow",
        STOPS,
        injector=said(observation_stamp_ns=lambda *_: 0),
    ),
    FaultCase(
        "negative_stamps", "proposals from before the beginning of time", STOPS, injector=said(stamp_ns=lambda *_: -5)
    ),
    FaultCase(
        "future_stamps", "proposals of the next second", STOPS, injector=said(stamp_ns=lambda _, p: p.stamp_ns + NS)
    ),
    FaultCase(
        "past_stamps", "proposals of the last second", STOPS, injector=said(stamp_ns=lambda _, p: p.stamp_ns - NS)
    ),
    FaultCase("frozen_stamp", "new commands under one and the same stamp", STOPS, injector=lambda: _Keeps("stamp_ns")),
    FaultCase(
        "frozen_sequence",
        "new commands under one and the same sequence number",
        STOPS,
        injector=lambda: _Keeps("sequence"),
    ),
    FaultCase(
        "falling_sequence",
        "sequence numbers count down",
        STOPS,
        injector=said(sequence=lambda now, p: p.sequence - 2 * (now.tick + 1)),
    ),
    FaultCase("swapped_pairs", "each two proposals arrive in the wrong order", LIMITS, injector=_SwapsPairs),
    FaultCase(
        "replay", "old proposals are sent again as they were", LIMITS, injector=lambda: _Replays(restamped=False)
    ),
    FaultCase(
        "replay_restamped",
        "old proposals are sent again with new stamps and their old sequence numbers",
        LIMITS,
        injector=lambda: _Replays(restamped=True),
    ),
    FaultCase(
        "state_dies",
        "no joint states any more",
        STOPS,
        reaction=STATE_SILENCE,
        injector=lambda: _FreezesState(stamped=False),
    ),
    FaultCase(
        "state_frozen",
        "the measured pose does not change any more, its stamps do",
        STOPS,
        reaction=STATE_SILENCE,
        injector=lambda: _FreezesState(stamped=True),
    ),
    FaultCase("state_gone", "there is no joint state at all", STOPS, injector=lambda: Measured(lambda *_: None)),
    FaultCase(
        "state_never",
        "there is no joint state from the start",
        STANDS,
        onset=Onset.START,
        injector=lambda: Measured(lambda *_: None),
    ),
    FaultCase(
        "state_future",
        "joint states of the next second",
        STOPS,
        injector=lambda: Measured(lambda _, s: replace(s, stamp_ns=s.stamp_ns + NS)),
    ),
    FaultCase(
        "state_old",
        "joint states of the last second",
        STOPS,
        injector=lambda: Measured(lambda _, s: replace(s, stamp_ns=s.stamp_ns - NS)),
    ),
    FaultCase("state_missing_packets", "five of six joint states are lost", LIMITS, injector=_measured_every(6)),
)
