"""Rule 8, policy: doubts in a learned policy, from the scores that its proposals carry and the age of its pictures.

A score above its threshold for `doubt_s` begins a doubt; at or below it for `doubt_clear_s` ends it. What a doubt does
is the configuration's choice: warn (it is counted and shown, the proposal passes as it is), slow (no joint moves faster
than a share of its velocity limit), or fallback (the proposal is rejected). Doubts only ever take away from what the
other rules let through: no proposal is safe because it raises none.
"""

from dataclasses import dataclass, replace

import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.values import Proposal
from so_arm_policy.safety import limiter
from so_arm_policy.safety.case import Case, Setup
from so_arm_policy.safety.values import Action, Finding, SupervisorState, TickInput

KINDS = ("novelty", "disagreement", "context_age")
CODES = {"novelty": "policy.novelty", "disagreement": "policy.disagreement", "context_age": "policy.context_age"}


@dataclass(frozen=True, slots=True)
class Doubt:
    """One kind of doubt. level: its newest share of what begins one; lasts: whether it acts.

    turned_ns: monotonic time since when the level says otherwise than `lasts`, None while it does not.
    """

    level: float = 0.0
    lasts: bool = False
    turned_ns: int | None = None

    def heard(self, level: float, now_ns: int, begin_ns: int, end_ns: int) -> "Doubt":
        """Return the doubt after one more `level`; a level that is no number changes nothing."""
        if not level >= 0.0:
            return self
        if (level > 1.0) is self.lasts:
            return Doubt(level, self.lasts)
        turned_ns = now_ns if self.turned_ns is None else self.turned_ns
        if now_ns - turned_ns >= (end_ns if self.lasts else begin_ns):
            return Doubt(level, not self.lasts)
        return Doubt(level, self.lasts, turned_ns)


NO_DOUBT = Doubt()


@dataclass(frozen=True, slots=True)
class Doubts:
    """All kinds of doubt in `source`, in the order of KINDS. Those that last: their codes, and what they do."""

    source: str
    each: tuple[Doubt, ...]
    codes: tuple[str, ...] = ()
    slow: bool = False
    reject: bool = False


def observe(setup: Setup, state: SupervisorState, tick: TickInput) -> SupervisorState:
    """Hear what the newest proposal of the acting source scores. Without one, and without doubts, nothing changes."""
    proposal = tick.proposals.get(state.acting)
    known = state.doubts if state.doubts is not None and state.doubts.source == state.acting else None
    if proposal is None:
        return replace(state, doubts=known) if known is not state.doubts else state
    shares = levels(setup, proposal, tick)
    if known is None and not any(share > 1.0 for share in shares):
        return replace(state, doubts=None) if state.doubts is not None else state
    before = known.each if known is not None else (NO_DOUBT,) * len(KINDS)
    heard = (d.heard(x, tick.now_ns, setup.doubt_ns, setup.doubt_clear_ns) for d, x in zip(before, shares, strict=True))
    return replace(state, doubts=remembered(setup, state.acting, tuple(heard)))


def check_proposal(case: Case) -> Finding | None:
    """Refuse the proposal of a source while a doubt lasts that is to be answered by the fallback."""
    doubts = _of(case)
    if doubts is None or not doubts.reject:
        return None
    return _finding(case.setup, doubts, "fallback", Action.REJECT)


@dataclass(frozen=True, slots=True)
class Slowed:
    """A wish under a doubt. wish, before: it and the previous one, (n,) rad, no further away than a slow move."""

    wish: FloatArray
    before: FloatArray | None
    finding: Finding


def slowed(case: Case, wish: FloatArray) -> Slowed | None:
    """Return how much of `wish` (n,) rad a doubt leaves, or None when that is all of it."""
    doubts, most = _of(case), case.setup.doubt_step
    if doubts is None or not doubts.slow or bool((np.abs(wish - case.output) <= most).all()):
        return None
    before = case.state.target
    return Slowed(
        wish=case.output + limiter.shortened(wish - case.output, most),
        before=None if before is None else case.output + limiter.shortened(before - case.output, most),
        finding=_finding(case.setup, doubts, "slow", Action.CLAMP),
    )


def codes(state: SupervisorState) -> tuple[str, ...]:
    """Return the codes of the doubts in the acting source that last."""
    return state.doubts.codes if state.doubts is not None and state.doubts.source == state.acting else ()


def slows(state: SupervisorState) -> bool:
    """Whether one of them lets the source move at a share of its speed only."""
    return bool(codes(state)) and state.doubts is not None and state.doubts.slow


def _of(case: Case) -> Doubts | None:
    doubts = case.state.doubts
    return doubts if doubts is not None and doubts.source == case.name else None


def levels(setup: Setup, proposal: Proposal, tick: TickInput) -> tuple[float, ...]:
    """Return the shares of what begins a doubt, in the order of KINDS."""
    observed_ns = proposal.observation_stamp_ns
    age_ns = tick.ros_now_ns - observed_ns if observed_ns > 0 else 0  # a stamp of zero is another rule's to refuse
    ratio = setup.config.doubt_ratio
    return proposal.novelty / ratio, proposal.disagreement / ratio, max(0, age_ns) / setup.doubt_age_ns


def _answer(setup: Setup, kind: str) -> str:
    return str(getattr(setup.config, f"on_{kind}"))


def remembered(setup: Setup, source: str, each: tuple[Doubt, ...]) -> Doubts | None:
    """Return what lasts of `each`, or None when there is nothing to remember."""
    if all(not d.lasts and d.turned_ns is None for d in each):
        return None
    lasting = [kind for kind, d in zip(KINDS, each, strict=True) if d.lasts]
    answers = {_answer(setup, kind) for kind in lasting}
    found = tuple(CODES[kind] for kind in lasting)
    return Doubts(source, each, found, slow="slow" in answers, reject="fallback" in answers)


def _finding(setup: Setup, doubts: Doubts, answer: str, action: Action) -> Finding:
    """Name the first doubt that is answered so."""
    of_each = zip(KINDS, doubts.each, strict=True)
    kind, d = next((k, d) for k, d in of_each if d.lasts and _answer(setup, k) == answer)
    text = f"source {doubts.source!r}: {kind} {d.level:.2f} of what begins a doubt, expected at most 1"
    return Finding(CODES[kind], f"{text} for {setup.config.doubt_clear_s} s", action)
