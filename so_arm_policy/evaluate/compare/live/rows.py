"""The rows of the live table: those of lockstep, where they can be had on the graph, and what only a clock can say."""

from dataclasses import dataclass

from so_arm_policy.evaluate.compare.rows import EpisodeRow, Identity


@dataclass(frozen=True, kw_only=True)
class LiveRow(EpisodeRow):
    """One episode on the graph; it differs from run to run.

    Missing there: energy_j (motors report their torque 20 times a second only), digest, clamps_per_min, rejects_per_min
    and holds_per_min (the supervisor counts by reason), and any figure whose messages did not all come.

    interventions_per_min: ticks in which the supervisor did not pass the proposal as it was, whatever it did instead, a
    minute; reasons: their counts, JSON. real_time_factor: simulated seconds a second. latency_p50_ms, latency_p99_ms:
    from a picture to the first command that follows from it. context_p50_ms, context_p99_ms: to compute a context.
    supervisor_ticks, supervisor_missed: of its loop, around the episode; tick_p50_ms, tick_p99_ms, tick_p999_ms: how
    late they were; lateness_10us: the histogram behind that, JSON. source_missed, simulator_missed: of their loops.
    """

    interventions_per_min: float | None = None
    reasons: str | None = None
    real_time_factor: float | None = None
    latency_p50_ms: float | None = None
    latency_p99_ms: float | None = None
    context_p50_ms: float | None = None
    context_p99_ms: float | None = None
    supervisor_ticks: int | None = None
    supervisor_missed: int | None = None
    tick_p50_ms: float | None = None
    tick_p99_ms: float | None = None
    tick_p999_ms: float | None = None
    lateness_10us: str | None = None
    source_missed: int | None = None
    simulator_missed: int | None = None


@dataclass(frozen=True, kw_only=True)
class LiveOutcome:
    """What came of one live episode, as the journal keeps it."""

    row: LiveRow


def failed_row(who: Identity, seed: int, instruction: str, stage: str, reason: str) -> LiveRow:
    """Return the row of an episode that could not be run to its end."""
    return LiveRow(
        **vars(who),
        seed=seed,
        instruction=instruction,
        success=False,
        failure_stage=stage,
        failure_reason=reason,
    )
