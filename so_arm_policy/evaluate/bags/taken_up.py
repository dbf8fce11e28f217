"""What the state of a supervisor can be after a tick, as far as the last ticks of a bag tell: for after a loss.

Some of it the ticks tell exactly, or it is not taken up at all: mode, source, command and its motion, what was heard.
The rest (time saved up, how long a joint has lagged or pressed, since when a doubt grows, how old is too old) is known
only to lie between two ends, and only ever makes a rule speak earlier or later. So there are two states, the mildest
and the strictest: a tick that both judge alike is judged so whatever the supervisor remembered.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from so_arm_policy.core.values import Proposal
from so_arm_policy.evaluate.bags.messages import stamp_ns
from so_arm_policy.safety import doubt, plant
from so_arm_policy.safety.case import Setup
from so_arm_policy.safety.doubt import Doubt, Doubts
from so_arm_policy.safety.plant import Plant
from so_arm_policy.safety.values import Action, Finding, Heard, Mode, Output, SupervisorState, TickInput

Possible = tuple[SupervisorState, ...]  # none: not known; one: exactly; two: the mildest and the strictest
SILENT = "time.silent"
# Braking shows in the command, down to the rounding of a double; what is less than that is gone two ticks later.
AT_REST = 5  # ticks in which the arm was braked and the command stayed the same
WINDOW = 16  # ticks that are looked at


def take_up(setup: Setup, ticks: Sequence[Any], given: TickInput) -> Possible:
    """Return the states that the supervisor may be in now.

    ticks: the last SupervisorTicks, oldest first, none missing between; given: what the newest of them knew.
    """
    tick = ticks[-1]
    if not len(tick.command):
        return _without_pose(setup, ticks, given)
    if given.sample is None or not plant.readable(given.sample, len(tick.command)):
        return ()
    if _was_reset(ticks):
        return _after_reset(setup, ticks, given)
    if _is_pass(tick):
        return _moving(setup, ticks, given)
    return _held(setup, ticks, given)


def undisturbed(tick: Any) -> bool:
    """Whether nobody asked for anything in this tick."""
    return not (tick.estop or tick.reset or tick.select)


def _is_pass(tick: Any) -> bool:
    """Whether the command is what a source asked for, bit for bit."""
    return tick.verdict == Action.PASS.value and not tick.reason_code and undisturbed(tick) and len(tick.command) > 0


def _was_reset(ticks: Sequence[Any]) -> bool:
    return len(ticks) > 1 and ticks[-2].state == Mode.ESTOP and ticks[-1].state == Mode.HOLD and bool(ticks[-1].reset)


def _without_pose(setup: Setup, ticks: Sequence[Any], given: TickInput) -> Possible:
    """Before the first pose nothing has moved, nobody was followed."""
    if not undisturbed(ticks[-1]):
        return ()
    state = _base(setup, ticks, given, str(ticks[-1].selected))
    return _ends(setup, ticks, given, replace(state, sample_stamp_ns=0), given.ros_now_ns)


def _after_reset(setup: Setup, ticks: Sequence[Any], given: TickInput) -> Possible:
    """A reset forgets nearly all, and is done at rest only."""
    state = _base(setup, ticks, given, str(ticks[-1].selected))
    state = replace(state, output=_at_rest(ticks[-1]), epoch_ns=given.ros_now_ns)
    return _with_clocks(setup, ticks, state)


def _moving(setup: Setup, ticks: Sequence[Any], given: TickInput) -> Possible:
    """Two proposals that passed one after another tell how the command moves, exactly."""
    if len(ticks) < 3 or not _is_pass(ticks[-2]) or not len(ticks[-3].command):
        return ()
    tick = ticks[-1]
    followed = str(tick.selected) if tick.state == Mode.ACTIVE else setup.config.fallback
    proposal = given.proposals.get(followed or "")
    if proposal is None:
        return ()
    q, before, first = (np.array(t.command, dtype=np.float64) for t in (tick, ticks[-2], ticks[-3]))
    step = q - before
    state = replace(
        _base(setup, ticks, given, proposal.source),
        output=Output(q, step, step - (before - first)),
        target=q,
        heard=_heard(proposal),
    )
    return _observed(setup, ticks, given, state, min(proposal.stamp_ns, proposal.observation_stamp_ns))


def _held(setup: Setup, ticks: Sequence[Any], given: TickInput) -> Possible:
    """An arm that stands, held because its source is silent, or stopped."""
    tick = ticks[-1]
    if not _rests(setup, ticks):
        return ()
    if tick.state == Mode.HOLD and tick.reason_code == SILENT:
        names = [n for n in (str(tick.selected), setup.config.fallback) if n and _names(tick, n)]
        if len(names) != 1:
            return ()
        newest = given.proposals.get(names[0])
        state = _base(setup, ticks, given, names[0])
        # Silence is said of a source that has said nothing, or nothing since what was followed last.
        state = replace(state, output=_at_rest(tick), heard=_heard(newest) if newest else None)
        old_ns = min(newest.stamp_ns, newest.observation_stamp_ns) if newest else given.ros_now_ns
        return _observed(setup, ticks, given, state, old_ns)
    alone = setup.config.fallback in (None, str(tick.selected))
    if tick.state != Mode.ESTOP or not alone or tick.reason_code in plant.BLOCKED:
        return ()
    state = replace(_base(setup, ticks, given, str(tick.selected)), output=_at_rest(tick), going_limp=bool(tick.limp))
    return _observed(setup, ticks, given, state, 0)


def _names(tick: Any, source: str) -> bool:
    return str(tick.reason_text).startswith(f"source {source!r}: ")


def _rests(setup: Setup, ticks: Sequence[Any]) -> bool:
    """Whether the command stayed the same in so many ticks that it stands."""
    braked, newest = 0, ticks[-1]
    for before, tick in zip(ticks[-2::-1], ticks[:0:-1], strict=True):
        if tick.state != newest.state or not undisturbed(tick) or not np.array_equal(before.command, tick.command):
            break
        # A tick for which no time has passed does not brake, and is not silent.
        braked += tick.reason_code == SILENT or int(tick.now_ns) - int(before.now_ns) >= setup.period_ns
    return braked >= AT_REST


def _at_rest(tick: Any) -> Output:
    return Output.at_rest(np.array(tick.command, dtype=np.float64))


def _heard(proposal: Proposal) -> Heard:
    return Heard(proposal.sequence, proposal.stamp_ns, proposal.received_ns)


def _base(setup: Setup, ticks: Sequence[Any], given: TickInput, acting: str) -> SupervisorState:
    """Return what every tick tells of the state after it."""
    tick, newest, stopped = ticks[-1], given.proposals.get(acting), ticks[-1].state == Mode.ESTOP
    latched = Finding(str(tick.reason_code), str(tick.reason_text), Action.ESTOP) if stopped else None
    return SupervisorState(
        mode=Mode(int(tick.state)),
        selected=str(tick.selected),
        acting=acting,
        arrived_ns=newest.received_ns if newest else 0,
        arrived_sequence=newest.sequence if newest else -1,
        sample_stamp_ns=stamp_ns(tick.joints_stamp),
        now_ns=given.now_ns,
        ros_now_ns=given.ros_now_ns,
        latched=latched,
        going_limp=stopped and setup.config.estop_limp,
    )


def _observed(
    setup: Setup, ticks: Sequence[Any], given: TickInput, state: SupervisorState, newest_epoch_ns: int
) -> Possible:
    """Return both ends of `state` with what the measured states have shown."""
    sample = given.sample
    assert sample is not None
    n = len(sample.q)
    pressing_ns = setup.press_ns if given.motors is not None else 0
    mild = replace(Plant.first(sample, np.full(n, np.inf)), standing_ns=0)
    strict = replace(
        Plant.first(sample, sample.q),
        lagging_ns=np.full(n, setup.following_ns),
        pressing_ns=np.full(n, pressing_ns),
        standing_ns=plant.STANDING_NS,
        repeats=plant.FROZEN_REPEATS,
    )
    ends = _ends(setup, ticks, given, state, newest_epoch_ns)
    return tuple(replace(end, plant=seen) for end, seen in zip(ends, (mild, strict), strict=bool(ends)))


def _ends(
    setup: Setup, ticks: Sequence[Any], given: TickInput, state: SupervisorState, newest_epoch_ns: int
) -> Possible:
    """Return both ends of `state` with doubts, and with what may be too old; nothing where doubts are not known."""
    doubts = _doubts(setup, ticks[-1], given, state.acting)
    if doubts is None:
        return ()
    ends = _with_clocks(setup, ticks, state)
    # What is wrong with the measured state does not show while a stop is latched; its newest stamp then does neither.
    newest_ns = given.ros_now_ns + setup.future_tolerance_ns if state.latched else state.sample_stamp_ns
    mild = replace(ends[0], doubts=doubts[0], epoch_ns=0)
    return mild, replace(ends[1], doubts=doubts[1], epoch_ns=newest_epoch_ns, sample_stamp_ns=newest_ns)


def _with_clocks(setup: Setup, ticks: Sequence[Any], state: SupervisorState) -> Possible:
    """Return both ends of `state`: how much time is saved up, and since when the ROS clock stands, if it does."""
    went = (
        int(after.now_ns)
        for before, after in zip(ticks[-2::-1], ticks[:0:-1], strict=True)
        if stamp_ns(before.header.stamp) != stamp_ns(after.header.stamp)
    )
    went_ns = next(went, None)
    assert state.now_ns is not None
    mild = replace(state, credit_ns=setup.period_ns, ros_moved_ns=state.now_ns if went_ns is None else went_ns)
    return mild, replace(mild, credit_ns=0, ros_moved_ns=0 if went_ns is None else went_ns)


def _doubts(setup: Setup, tick: Any, given: TickInput, acting: str) -> tuple[Doubts | None, Doubts | None] | None:
    """Return the doubts with the newest and the oldest turn of each; None where a score is no number."""
    newest = given.proposals.get(acting)
    if newest is None:
        return None, None
    late, early = [], []
    for kind, level in zip(doubt.KINDS, doubt.levels(setup, newest, given), strict=True):
        if not level >= 0.0:
            return None
        lasts = doubt.CODES[kind] in tick.doubts
        steady = (level > 1.0) is lasts
        limit_ns = setup.doubt_clear_ns if lasts else setup.doubt_ns
        late.append(Doubt(level, lasts, None if steady else given.now_ns))
        early.append(Doubt(level, lasts, None if steady else given.now_ns - limit_ns))
    return doubt.remembered(setup, acting, tuple(late)), doubt.remembered(setup, acting, tuple(early))
