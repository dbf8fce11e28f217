"""One tick judged from each state that the supervisor may have been in."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from so_arm_policy.evaluate.bags.taken_up import Possible
from so_arm_policy.safety import timing
from so_arm_policy.safety.case import Setup
from so_arm_policy.safety.geometry import Clearance
from so_arm_policy.safety.supervisor import supervise
from so_arm_policy.safety.values import SupervisorState, TickInput, Verdict


@dataclass(frozen=True, eq=False)
class Judged:
    """A verdict, and the state after it."""

    verdict: Verdict
    state: SupervisorState

    def same(self, other: "Judged") -> bool:
        """Whether both look alike from outside, the command bit for bit."""
        a, b = (replace(each.verdict, command=None, margin=None, refused="") for each in (self, other))
        one, two = (e.verdict.command if e.verdict.command is not None else np.zeros(0) for e in (self, other))
        return a == b and self.state.selected == other.state.selected and np.array_equal(one, two)


def judge(setup: Setup, states: Possible, given: TickInput, clearance: Clearance) -> list[Judged]:
    """Return what comes of each of `states`."""
    judged = [Judged(*supervise(setup, state, given, clearance)) for state in states]
    if len({_is_paid(setup, state, given) for state in states}) < 2:
        return judged
    # Whoever does not move keeps what was saved up, and has more of it than one who does: all is possible again.
    credits_ns = setup.period_ns, 0
    pairs = zip(judged, credits_ns, strict=True)
    return [replace(each, state=replace(each.state, credit_ns=credit_ns)) for each, credit_ns in pairs]


def learn_pace(
    setup: Setup, states: Possible, given: TickInput, clearance: Clearance, alike: Sequence[bool]
) -> Possible:
    """Return the states after a tick that the two of `states` judged differently; none where no more is known.

    alike: which of them judged as was recorded. Where they differ only in whether there was time for a motion, the
    record tells how much had been saved up at least, or at most: the other state is corrected by that.
    """
    paid = [_is_paid(setup, state, given) for state in states]
    if sum(alike) != 1 or paid[0] == paid[1]:
        return ()
    right = alike.index(True)
    passed_ns = timing.pace(setup, replace(states[0], credit_ns=0), given).credit_ns
    credit_ns = setup.period_ns - passed_ns - (not paid[right])
    both = list(states)
    both[1 - right] = replace(states[1 - right], credit_ns=max(credit_ns, 0))
    judged = judge(setup, tuple(both), given, clearance)
    return tuple(each.state for each in judged) if judged[0].same(judged[1]) else ()


def differs_by_pace_only(setup: Setup, states: Possible, given: TickInput, clearance: Clearance) -> bool:
    """Whether `states` judge this tick in two ways and no third is possible: with time for a motion, and without."""
    ways = ((True, False), (False, True))
    return all(learn_pace(setup, states, given, clearance, alike) for alike in ways)


def _is_paid(setup: Setup, state: SupervisorState, given: TickInput) -> bool:
    return timing.check_pace(setup, state, given, timing.pace(setup, state, given).credit_ns) is None
