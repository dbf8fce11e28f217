"""The rows of the results table: one for each episode, and one beside it for what the clock said."""

from collections.abc import Sequence
from dataclasses import dataclass

from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.evaluate.compare.failures import failure_reason, failure_stage
from so_arm_policy.evaluate.compare.metrics import (
    fingertip_path_length,
    fingertip_speed,
    least_clearance,
    mechanical_energy,
    path_length,
    per_minute,
    tracking_error,
)
from so_arm_policy.evaluate.compare.trace import Trace
from so_arm_policy.evaluate.graded import Condition
from so_arm_policy.evaluate.rollout import EpisodeResult
from so_arm_policy.evaluate.smoothness import spectral_arc_length
from so_arm_policy.evaluate.statistics import percentile
from so_arm_policy.safety.values import Action
from so_arm_policy.sim.clearance import Clearance

CLEARANCE_EVERY_TICKS = 4
CLEARANCE_MARGIN_M = 0.1
DT_S = 1.0 / CONTROL_HZ

Key = tuple[str, str, str, float, int]  # task, controller, perturbation, strength, seed


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who acted. family: of a policy, or "scripted" or "hand-crafted". sees: one of SIGHTS in evaluate/controllers.py.

    bundle, bundle_sha256: id of a policy, and hash of its manifest (and so of its files) but for its scores.
    """

    task: str
    controller: str
    family: str
    sees: str
    robot: str
    bundle: str | None = None
    bundle_sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """How the motion of one episode was; None where it cannot be said.

    log_dimensionless_jerk: of the commands; sparc: of the fingertip's measured speed; both higher is smoother.
    clearance_m: within CLEARANCE_MARGIN_M, at the pose measured every CLEARANCE_EVERY_TICKS-th tick. clamps_per_min and
    so on: ticks with such a verdict of the supervisor, a simulated minute. Definitions in metrics.py and smoothness.py.
    """

    joint_path_rad: float | None = None
    tip_path_m: float | None = None
    log_dimensionless_jerk: float | None = None
    sparc: float | None = None
    tracking_error_rad: float | None = None
    energy_j: float | None = None
    clearance_m: float | None = None
    clearance_kind: str | None = None
    clamps_per_min: float | None = None
    rejects_per_min: float | None = None
    holds_per_min: float | None = None


@dataclass(frozen=True, kw_only=True)
class EpisodeRow(Metrics, Identity):
    """One episode. All of it is simulated, so it is the same whenever and wherever it is run (on one machine).

    perturbation, strength: what was made harder, a row of GRADED in graded.py; "" and 0 of an undisturbed episode.
    time_s: when it had succeeded. failure_stage, failure_reason: None of a success; see failures.py. digest: as in
    EpisodeResult; None where it ended by an error.
    """

    perturbation: str = ""
    strength: float = 0.0
    seed: int
    instruction: str
    success: bool
    time_s: float | None = None
    final_distance_m: float | None = None
    held_s: float | None = None
    ticks: int | None = None
    contexts: int | None = None
    inferences: int | None = None
    failure_stage: str | None = None
    failure_reason: str | None = None
    digest: str | None = None

    @property
    def key(self) -> Key:
        """What no two rows share."""
        return self.task, self.controller, self.perturbation, self.strength, self.seed


@dataclass(frozen=True, kw_only=True)
class TimingRow:
    """What the clock said of one episode; differs from run to run, so it is kept apart.

    wall_s, cpu_s: of the whole episode, simulator and pictures included. inference, context: what the agent reports of
    System 1 and System 2, or of whatever it plans with and sees with. None where the episode ended by an error.
    """

    task: str
    controller: str
    perturbation: str = ""
    strength: float = 0.0
    seed: int
    wall_s: float | None = None
    cpu_s: float | None = None
    inference_p50_ms: float | None = None
    inference_p99_ms: float | None = None
    context_p50_ms: float | None = None
    context_p99_ms: float | None = None

    @property
    def key(self) -> Key:
        """That of the episode's row."""
        return self.task, self.controller, self.perturbation, self.strength, self.seed


def measure(result: EpisodeResult, trace: Trace, clearance: Clearance) -> Metrics:
    """Return the metrics of an episode."""
    nearest = least_clearance(trace.q, clearance, CLEARANCE_EVERY_TICKS)
    return Metrics(
        joint_path_rad=path_length(trace.q),
        tip_path_m=fingertip_path_length(trace.fingertips),
        log_dimensionless_jerk=result.smoothness,
        sparc=spectral_arc_length(fingertip_speed(trace.fingertips, DT_S), DT_S),
        tracking_error_rad=tracking_error(trace.commands, trace.q),
        energy_j=mechanical_energy(trace.torque, trace.dq, DT_S),
        clearance_m=nearest.distance_m,
        clearance_kind=nearest.kind,
        clamps_per_min=_rate(result, Action.CLAMP),
        rejects_per_min=_rate(result, Action.REJECT),
        holds_per_min=_rate(result, Action.HOLD),
    )


def episode_row(
    who: Identity, condition: Condition, result: EpisodeResult, trace: Trace | None, clearance: Clearance
) -> EpisodeRow:
    """Return the row of an episode that ran to its end. trace: None where it succeeded before the first tick."""
    failed = trace is not None and not result.success
    return EpisodeRow(
        **vars(who),
        **vars(measure(result, trace, clearance) if trace is not None else Metrics()),
        **vars(condition),
        seed=result.seed,
        instruction=result.instruction,
        success=result.success,
        time_s=result.time_s,
        final_distance_m=result.final_distance_m,
        held_s=result.held_s,
        ticks=result.ticks,
        contexts=result.agent.contexts,
        inferences=result.agent.inferences,
        failure_stage=failure_stage(trace, result.goal) if failed and trace is not None else None,
        failure_reason=failure_reason(trace) if failed and trace is not None else None,
        digest=result.digest,
    )


def timing_row(who: Identity, condition: Condition, result: EpisodeResult, wall_s: float, cpu_s: float) -> TimingRow:
    """Return what the clock said of an episode that ran to its end."""
    return TimingRow(
        task=who.task,
        controller=who.controller,
        **vars(condition),
        seed=result.seed,
        wall_s=wall_s,
        cpu_s=cpu_s,
        inference_p50_ms=_percent(result.agent.system1_ms, 50),
        inference_p99_ms=_percent(result.agent.system1_ms, 99),
        context_p50_ms=_percent(result.agent.system2_ms, 50),
        context_p99_ms=_percent(result.agent.system2_ms, 99),
    )


def _rate(result: EpisodeResult, action: Action) -> float:
    return per_minute(result.actions.get(action.value, 0), result.ticks)


def _percent(values: Sequence[float], percent: float) -> float | None:
    return percentile(values, percent)
