"""Rule 2, time: nothing old, early, repeated or reordered acts, and no clock can make a step larger.

ROS time orders and ages what was sent; monotonic time ages what was received and paces the motion. Motion is paid for
with elapsed monotonic time: each tick spends one nominal period, at most two can be saved up. So a stall authorises
no large step, and the burst of ticks after one moves no further than time has passed. Where the monotonic clock itself
is wrong the ROS clock tells: it pays for braking while the other stands, and a jump that it has not seen is no stall.
"""

from typing import NamedTuple

from so_arm_policy.safety.case import Case, Setup, Tick
from so_arm_policy.safety.values import Action, Finding, SupervisorState, TickInput

SAVED_PERIODS = 2


class Pace(NamedTuple):
    """What a tick's clocks allow: credit left before this tick's motion, and when the ROS clock last advanced."""

    credit_ns: int
    ros_moved_ns: int


def pace(setup: Setup, state: SupervisorState, tick: TickInput) -> Pace:
    """Add up the time that has passed since the previous tick."""
    if state.now_ns is None:
        return Pace(SAVED_PERIODS * setup.period_ns, tick.now_ns)
    passed = tick.now_ns - state.now_ns
    if stuck(state, tick):
        passed = min(tick.ros_now_ns - state.ros_now_ns, setup.period_ns)
    credit = state.credit_ns + max(0, passed)
    ros_moved = tick.now_ns if tick.ros_now_ns != state.ros_now_ns else state.ros_moved_ns
    return Pace(min(credit, SAVED_PERIODS * setup.period_ns), ros_moved)


def check_pace(setup: Setup, state: SupervisorState, tick: TickInput, credit_ns: int) -> Finding | None:
    """Refuse to move in a tick for which no time has passed."""
    if state.now_ns is None or credit_ns >= setup.period_ns:
        return None
    passed_ms = (tick.now_ns - state.now_ns) / 1e6
    code = "time.tick" if passed_ms <= 0 else "time.burst"
    return Finding(code, f"got a tick after {passed_ms:.3f} ms, expected {setup.period_ns / 1e6:.3f}", Action.HOLD)


def stalled(setup: Setup, state: SupervisorState, tick: TickInput) -> bool:
    """Whether so much time has passed since the previous tick that the arm came to rest meanwhile.

    A ROS clock that went on, but for less, knows better; one that stands or went back knows nothing.
    """
    if state.now_ns is None or tick.now_ns - state.now_ns <= setup.stall_ns:
        return False
    ros_passed_ns = tick.ros_now_ns - state.ros_now_ns
    return not 0 < ros_passed_ns <= setup.stall_ns


def stuck(state: SupervisorState, tick: TickInput) -> bool:
    """Whether the monotonic clock stands, or went back, while the ROS clock went on."""
    return state.now_ns is not None and tick.now_ns <= state.now_ns and tick.ros_now_ns > state.ros_now_ns


def clock_back(state: SupervisorState, tick: TickInput) -> bool:
    """Whether the ROS clock went back."""
    return state.now_ns is not None and tick.ros_now_ns < state.ros_now_ns


def check_tick(tick: Tick) -> Finding | None:
    """Refuse stalls, a ROS clock that stops or goes back, and a measured state that is absent, old or early."""
    setup, state, now = tick.setup, tick.state, tick.input
    if state.now_ns is not None:
        if clock_back(state, now):
            back = (state.ros_now_ns - now.ros_now_ns) / 1e6
            return _hold("time.clock_back", f"ROS clock: went back {back:.3f} ms, expected never")
        if stuck(state, now):
            passed_ms = (now.ros_now_ns - state.ros_now_ns) / 1e6
            return _hold("time.tick", f"monotonic clock: did not advance in {passed_ms:.3f} ms by the ROS clock")
        if stalled(setup, state, now):
            late_ms = (now.now_ns - state.now_ns) / 1e6
            return _hold("time.stall", f"tick: {late_ms:.1f} ms since the last, limit {setup.stall_ns / 1e6:.1f}")
        stopped = now.now_ns - state.ros_moved_ns
        if now.ros_now_ns == state.ros_now_ns and stopped > setup.clock_timeout_ns:
            return _hold(
                "time.clock_paused",
                f"ROS clock: stands still for {stopped / 1e6:.0f} ms, limit {setup.clock_timeout_ns / 1e6:.0f}",
            )
    return _check_sample(tick)


def _check_sample(tick: Tick) -> Finding | None:
    setup, now, sample = tick.setup, tick.input, tick.input.sample
    if sample is None:
        return _hold("time.no_state", "joint state: got none yet, expected one")
    if sample.stamp_ns - now.ros_now_ns > setup.future_tolerance_ns:
        ahead = (sample.stamp_ns - now.ros_now_ns) / 1e6
        return _hold("time.state_future", f"joint state: got a stamp {ahead:.1f} ms ahead of now")
    if sample.stamp_ns < tick.state.sample_stamp_ns:
        back = (tick.state.sample_stamp_ns - sample.stamp_ns) / 1e6
        return _hold("time.state_backwards", f"joint state: got a stamp {back:.1f} ms before an earlier one")
    age = max(now.now_ns - sample.received_ns, now.ros_now_ns - sample.stamp_ns)
    if age > setup.state_timeout_ns or sample.received_ns - now.now_ns > setup.future_tolerance_ns:
        return _hold(
            "time.state_stale", f"joint state: {age / 1e6:.1f} ms old, limit {setup.state_timeout_ns / 1e6:.1f}"
        )
    return None


def check_proposal(case: Case) -> Finding | None:
    """Refuse proposals by age, by future and zero stamps, by order, and all that is older than a reset."""
    setup, proposal, ros_now = case.setup, case.proposal, case.input.ros_now_ns
    if proposal.stamp_ns <= 0 or proposal.observation_stamp_ns <= 0:
        return Finding(
            "time.zero", f"got stamps {proposal.stamp_ns} and {proposal.observation_stamp_ns} ns, expected both"
        )
    ahead = max(
        proposal.stamp_ns - ros_now,
        proposal.observation_stamp_ns - ros_now,
        proposal.received_ns - case.input.now_ns,
    )
    if ahead > setup.future_tolerance_ns:
        return Finding(
            "time.future", f"got a stamp {ahead / 1e6:.1f} ms ahead, limit {setup.future_tolerance_ns / 1e6:.1f}"
        )
    if min(proposal.stamp_ns, proposal.observation_stamp_ns) < case.state.epoch_ns:
        return Finding("time.before_reset", "got a command from before the reset, expected a newer one", Action.HOLD)
    return _check_age(case, setup) or (_check_order(case, setup) if case.fresh else None)


def _check_age(case: Case, setup: Setup) -> Finding | None:
    proposal, now = case.proposal, case.input
    age = max(now.ros_now_ns - proposal.stamp_ns, now.now_ns - proposal.received_ns)
    limit_ms = setup.proposal_timeout_ns / 1e6
    if age > setup.proposal_timeout_ns:
        if case.fresh:
            return Finding("time.stale", f"got a command {age / 1e6:.1f} ms old, limit {limit_ms:.1f}")
        return silent(case.name, f"nothing new for {age / 1e6:.1f} ms, limit {limit_ms:.1f}")
    if not (case.fresh or case.joined):
        return silent(case.name, "nothing new since the hold began")
    observed = now.ros_now_ns - proposal.observation_stamp_ns
    if observed > setup.observation_timeout_ns:
        return Finding(
            "time.observation",
            f"follows a measurement {observed / 1e6:.0f} ms old, limit {setup.observation_timeout_ns / 1e6:.0f}",
        )
    return None


def _check_order(case: Case, setup: Setup) -> Finding | None:
    heard, proposal = case.state.heard, case.proposal
    if heard is None:
        return None
    if proposal.stamp_ns == heard.stamp_ns:
        return Finding("time.repeated", f"got stamp {proposal.stamp_ns} ns twice, expected a newer one")
    if proposal.stamp_ns < heard.stamp_ns:
        back = (heard.stamp_ns - proposal.stamp_ns) / 1e6
        return Finding("time.backwards", f"got a stamp {back:.3f} ms before the previous one, expected a newer one")
    # A source that was silent may have been restarted, and then counts from 0 again; one that was refused was not.
    silence_ns = proposal.received_ns - max(case.state.arrived_ns, heard.received_ns)
    # While it is not followed its own last one counts: a stranger's large number would keep it out for ever.
    last = heard.sequence if case.joined else case.state.arrived_sequence
    if proposal.sequence <= last and silence_ns <= setup.proposal_timeout_ns:
        return Finding("time.sequence", f"got sequence {proposal.sequence} after {last}, expected a larger")
    return None


def silent(source: str, what: str) -> Finding:
    """Return the finding for a source that says nothing."""
    return Finding("time.silent", f"source {source!r}: {what}", Action.HOLD)


def _hold(code: str, text: str) -> Finding:
    return Finding(code, text, Action.HOLD)
