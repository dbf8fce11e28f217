"""What people ask for: emergency stop, reset, selection of a source."""

from dataclasses import replace

import numpy as np

from so_arm_policy.safety import plant, rules
from so_arm_policy.safety.case import Setup, Tick
from so_arm_policy.safety.values import Action, Finding, Mode, Output, SupervisorState, TickInput


def apply(
    setup: Setup, state: SupervisorState, tick: TickInput, trouble: Finding | None
) -> tuple[SupervisorState, str]:
    """Carry out what this tick asks for; returns the state and why something was refused, or "".

    A stop outranks a reset of the same tick. trouble: what is wrong with the tick itself.
    """
    cause = asked = stop_cause(tick)
    if cause is None and trouble is not None and trouble.action is Action.ESTOP:
        cause = trouble
    if cause is not None and state.latched is None:
        state = replace(state, mode=Mode.ESTOP, latched=cause, target=None, letting_go=cause.code in plant.BLOCKED)
        state = replace(state, going_limp=setup.config.estop_limp)
    elif asked is not None:  # a second time, after the torque was back
        state = replace(state, going_limp=setup.config.estop_limp)
    refused = []
    if tick.select is not None:
        if tick.select in setup.config.sources:
            state = _select(state, tick.select)
        else:
            refused.append(f"select: got source {tick.select!r}, expected one of {list(setup.config.sources)}")
    if tick.reset:
        state, reason = _reset(setup, state, tick, asked)
        if reason:
            refused.append(f"reset: {reason}")
    return state, "; ".join(refused)


def stop_cause(tick: TickInput) -> Finding | None:
    """Return what asks for an emergency stop in this tick, or None."""
    if tick.estop is not None:
        return Finding("estop.request", tick.estop or "emergency stop", Action.ESTOP)
    for fault in tick.faults:
        if fault.latches:
            return Finding(fault.code, fault.text, Action.ESTOP)
    return None


def _select(state: SupervisorState, name: str) -> SupervisorState:
    mode = Mode.HOLD if state.mode in (Mode.ACTIVE, Mode.FALLBACK) else state.mode
    return replace(state, mode=mode, selected=name, acting=name, target=None, joining=False, heard=None, doubts=None)


def _reset_refusal(state: SupervisorState, tick: TickInput, cause: Finding | None) -> str:
    if cause is not None:
        return f"the cause persists ({cause.code}: {cause.text})"
    if state.mode not in (Mode.ESTOP, Mode.HOLD):
        return f"got state {state.mode.name}, expected ESTOP or HOLD"
    if state.output is not None and not state.output.resting:
        return "the arm is still braking, expected standstill"
    if tick.sample is not None and not plant.stands(tick.sample):
        return f"joints move at up to {np.abs(tick.sample.dq).max():.2f} rad/s, expected at most {plant.STANDING_RAD_S}"
    return ""


def _reset(setup: Setup, state: SupervisorState, tick: TickInput, asked: Finding | None) -> tuple[SupervisorState, str]:
    """Reset, or give a limp arm its torque back; returns why it was not reset, or "". asked: what asks for a stop."""
    after = _anew(setup, state, tick)
    seen = plant.with_torque(tick) if state.limp else tick
    wrong = asked or rules.first_of_tick(Tick(setup, plant.observe(setup, after, seen), seen))
    reason = _reset_refusal(state, tick, wrong)
    if reason:
        return state, reason
    if not state.limp:
        return after, ""
    assert tick.sample is not None
    here = Output.at_rest(tick.sample.q)
    return replace(state, going_limp=False, output=here), "the motors hold the arm again, where it is; reset once more"


def _anew(setup: Setup, state: SupervisorState, tick: TickInput) -> SupervisorState:
    """Start anew from where the arm is: whatever was commanded before this instant is old.

    When the arm is far from the held command (it was limp, or moved by hand) the hold moves to the arm, at once,
    since that moves nothing; a person has just said that the arm may go on from there.
    """
    output, sample = state.output, tick.sample
    if output is not None and sample is not None and plant.readable(sample, len(output.q)):
        away = np.abs(sample.q - output.q) > setup.config.continuity_rad
        output = Output.at_rest(sample.q) if bool(away.any()) else output
    return replace(
        state,
        mode=Mode.HOLD,
        acting=state.selected,
        output=output,
        target=None,
        joining=False,
        heard=None,
        epoch_ns=tick.ros_now_ns,
        latched=None,
        plant=None,
        letting_go=False,
        going_limp=False,
        doubts=None,
    )
