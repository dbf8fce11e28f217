"""Rule 3, source: only the acting source is heard, and nobody speaks in its name."""

from so_arm_policy.safety.case import Case, Tick
from so_arm_policy.safety.values import Action, Finding


def check_tick(tick: Tick) -> Finding | None:
    """Hold while the caller sees a fault; the first one is reported."""
    if not tick.input.faults:
        return None
    fault = tick.input.faults[0]
    return Finding(fault.code, fault.text, Action.HOLD)


def check_proposal(case: Case) -> Finding | None:
    """Refuse a proposal that arrived on one source's topic in the name of another."""
    if case.proposal.source != case.name:
        return Finding("source.mismatch", f"got source {case.proposal.source!r}, expected {case.name!r}")
    return None
