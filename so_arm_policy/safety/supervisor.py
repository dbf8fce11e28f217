"""The supervisor: the only way from a proposal to the motors.

`supervise` is a pure function of one tick; `Supervisor` holds what it hands from tick to tick, and counts.
"""

from dataclasses import replace

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.safety import doubt, geometry, limiter, plant, requests, rules, timing
from so_arm_policy.safety.case import Case, Setup, Tick
from so_arm_policy.safety.config import SupervisorConfig
from so_arm_policy.safety.geometry import Clearance
from so_arm_policy.safety.limiter import Motion
from so_arm_policy.safety.values import Action, Finding, Heard, Mode, Output, SupervisorState, TickInput, Verdict


def supervise(
    setup: Setup, state: SupervisorState, tick: TickInput, clearance: Clearance | None = None
) -> tuple[Verdict, SupervisorState]:
    """Judge one tick: the command for this tick and why, and the state for the next.

    clearance: knows how near a pose is to a collision; without one, geometry is not judged.
    """
    credit_ns, ros_moved_ns = timing.pace(setup, state, tick)
    unpaid = timing.check_pace(setup, state, tick, credit_ns)
    state = doubt.observe(setup, plant.observe(setup, state, tick), tick)
    trouble = rules.first_of_tick(Tick(setup, state, tick))
    state, refused = requests.apply(setup, _settle(setup, state, tick, trouble), tick, trouble)
    if tick.reset:  # what was wrong with the motion before it may be over
        trouble = rules.first_of_tick(Tick(setup, plant.observe(setup, state, tick), tick))
    if state.output is None:
        verdict, state = _unborn(state, trouble)
    elif state.latched is not None:
        verdict, state = _stop(setup, state, tick, state.latched, paid=unpaid is None)
    elif trouble is not None:
        verdict, state = _stop(setup, state, tick, trouble, paid=unpaid is None)
    elif unpaid is not None:
        verdict = _verdict(state, unpaid.action, unpaid)
    else:
        verdict, state = _arbitrate(setup, state, tick, clearance)
    if refused:
        verdict = replace(verdict, refused=refused)
    newest = tick.proposals.get(state.acting)
    healthy = trouble is None and tick.sample is not None
    return verdict, replace(
        state,
        now_ns=tick.now_ns,
        ros_now_ns=tick.ros_now_ns,
        ros_moved_ns=ros_moved_ns,
        arrived_ns=newest.received_ns if newest is not None else state.arrived_ns,
        arrived_sequence=newest.sequence if newest is not None else state.arrived_sequence,
        credit_ns=credit_ns if unpaid is not None else credit_ns - setup.period_ns,
        sample_stamp_ns=tick.sample.stamp_ns if healthy and tick.sample else state.sample_stamp_ns,
    )


def initial_state(source: str) -> SupervisorState:
    """Return the state before the first tick, with `source` selected."""
    return SupervisorState(mode=Mode.INIT, selected=source, acting=source)


def _settle(setup: Setup, state: SupervisorState, tick: TickInput, trouble: Finding | None) -> SupervisorState:
    """Take in what the tick itself changes, whatever else is wrong: a stand after a stall, a new ROS clock, a pose."""
    if timing.stalled(setup, state, tick) and state.output is not None:
        state = replace(state, output=Output.at_rest(state.output.q))
    if timing.clock_back(state, tick):
        state = replace(state, heard=None, sample_stamp_ns=0, epoch_ns=tick.ros_now_ns)
    if trouble is None and state.output is None and tick.sample is not None:
        mode = Mode.HOLD if state.mode is Mode.INIT else state.mode
        state = replace(state, mode=mode, output=Output.at_rest(tick.sample.q))
    return state


def _arbitrate(
    setup: Setup, state: SupervisorState, tick: TickInput, clearance: Clearance | None
) -> tuple[Verdict, SupervisorState]:
    """Let the acting source move the arm, or hand over to the fallback in this same tick, or hold."""
    outcome = _judge(setup, state, tick, state.acting, clearance)
    if not isinstance(outcome, Finding):
        return _advance(state, tick, outcome, outcome.finding)
    fallback = setup.config.fallback
    if state.mode is Mode.ACTIVE and fallback is not None and fallback != state.acting:
        stepping_in = replace(state, mode=Mode.HOLD, acting=fallback, target=None, joining=False, heard=None)
        rescue = _judge(setup, stepping_in, tick, fallback, clearance)
        if isinstance(rescue, Motion):
            return _advance(stepping_in, tick, rescue, replace(outcome, action=Action.FALLBACK))
    return _stop(setup, state, tick, outcome, paid=True)


def _judge(
    setup: Setup, state: SupervisorState, tick: TickInput, name: str, clearance: Clearance | None
) -> Motion | Finding:
    proposal = tick.proposals.get(name)
    if proposal is None:
        return timing.silent(name, "no proposal yet")
    assert tick.sample is not None
    assert state.output is not None
    case = Case(setup, state, tick, tick.sample, state.output.q, name, proposal)
    finding = rules.first_of_proposal(case)
    if finding is not None:
        return finding
    wish = case.q if case.fresh else _bridged(setup, case)
    before = state.target
    slowed = doubt.slowed(case, wish)
    if slowed is not None:
        wish, before = slowed.wish, slowed.before
    motion = limiter.move(setup.limits, state.output, before, wish)
    if clearance is not None:
        motion = geometry.keep_clear(setup, clearance, state.output, motion)
    if not case.fresh:
        gap = Finding("time.gap", f"source {name!r}: no new proposal in this tick", Action.CLAMP)
        return replace(motion, finding=gap)
    near = motion.finding is not None and motion.finding.code.startswith("geometry.")
    if slowed is not None and not near:
        return replace(motion, finding=slowed.finding)
    if motion.finding is not None:
        joining = state.joining or not case.joined
        code = "continuity.blend" if joining and not near else motion.finding.code
        return replace(motion, finding=Finding(code, motion.finding.text, Action.CLAMP))
    return motion


def _bridged(setup: Setup, case: Case) -> FloatArray:
    """Return where the source would be one tick after its last proposal, by that proposal's own velocity."""
    dq = case.dq
    if dq is None:
        return case.q
    step, most = dq / setup.config.rate_hz, setup.limits.velocity_step
    return case.q + limiter.shortened(step, most)


def _advance(
    state: SupervisorState, tick: TickInput, motion: Motion, finding: Finding | None
) -> tuple[Verdict, SupervisorState]:
    proposal = tick.proposals[state.acting]
    joined = state.mode in (Mode.ACTIVE, Mode.FALLBACK)
    state = replace(
        state,
        mode=Mode.ACTIVE if state.acting == state.selected else Mode.FALLBACK,
        output=motion.output,
        target=motion.target,
        joining=motion.finding is not None and (state.joining or not joined),
        heard=Heard(proposal.sequence, proposal.stamp_ns, proposal.received_ns),
    )
    return _verdict(state, finding.action if finding else Action.PASS, finding, motion.margin), state


def _stop(
    setup: Setup, state: SupervisorState, tick: TickInput, finding: Finding, paid: bool
) -> tuple[Verdict, SupervisorState]:
    """Brake, then hold, or let go what presses, or all. Nothing moves in a tick that no time has paid for."""
    assert state.output is not None
    output, target = state.output, state.target if state.letting_go else None
    if target is not None and plant.came_back(state, target):
        target = None
    if state.letting_go and target is None and output.resting and not state.going_limp:
        target = plant.relief(setup, state, tick)
    if paid and target is not None:
        output = limiter.move(setup.limits, output, target, target).output
    elif paid:
        output = limiter.brake(setup.limits, output)
    mode = Mode.HOLD if state.latched is None else Mode.ESTOP
    state = replace(state, mode=mode, output=output, target=target, joining=False)
    return _verdict(state, finding.action, finding), state


def _unborn(state: SupervisorState, trouble: Finding | None) -> tuple[Verdict, SupervisorState]:
    """No pose is known yet: there is nothing to hold, so there is no command."""
    finding = state.latched or trouble
    assert finding is not None
    return _verdict(state, finding.action, finding), state


def _verdict(state: SupervisorState, action: Action, finding: Finding | None, margin: float | None = None) -> Verdict:
    return Verdict(
        action=action,
        command=state.output.q if state.output else None,
        code=finding.code if finding else "",
        text=finding.text if finding else "",
        source=state.acting,
        mode=state.mode,
        margin=margin,
        doubts=doubt.codes(state),
        slowed=doubt.slows(state),
        limp=state.limp,
    )


class Supervisor:
    """Holds the state of `supervise` and counts its verdicts. One thread owns it.

    counts: verdicts other than PASS, and ticks in which a doubt lasts, since the start, for each reason.
    passed: proposals passed bit-identical.
    """

    def __init__(
        self, config: SupervisorConfig, robot: RobotConfig, source: str, clearance: Clearance | None = None
    ) -> None:
        """source: the one selected at the start; clearance: see `supervise`. Raises ConfigError."""
        if source not in config.sources:
            raise ConfigError(f"safety: got source {source!r}, expected one of {list(config.sources)}")
        self.setup = Setup.of(config, robot)
        self.state = initial_state(source)
        self._clearance = clearance
        self.counts: dict[str, int] = dict.fromkeys(rules.REASONS, 0)
        self.passed = 0
        self.worst_margin = 1.0

    @property
    def mode(self) -> Mode:
        """State of the machine."""
        return self.state.mode

    @property
    def source(self) -> str:
        """The selected source, which a fallback may stand in for."""
        return self.state.selected

    def step(self, tick: TickInput) -> Verdict:
        """Judge one tick."""
        verdict, self.state = supervise(self.setup, self.state, tick, self._clearance)
        if verdict.code:
            self.counts[verdict.code] = self.counts.get(verdict.code, 0) + 1
        else:
            self.passed += 1
        for code in verdict.doubts:
            self.counts[code] += code != verdict.code
        if verdict.margin is not None and verdict.margin < self.worst_margin:
            self.worst_margin = verdict.margin
        return verdict

    def take_worst_margin(self) -> float:
        """Return the worst margin since this was last called, and start anew."""
        margin, self.worst_margin = self.worst_margin, 1.0
        return margin
