"""What live episodes say beside those in lockstep on the same seeds."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from so_arm_policy.core.ticks import percentile_ms
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.evaluate.compare.bootstrap import mean_interval
from so_arm_policy.evaluate.compare.live.rows import LiveRow
from so_arm_policy.evaluate.compare.rows import EpisodeRow
from so_arm_policy.evaluate.compare.summary import Difference
from so_arm_policy.evaluate.compare.verdicts import PairVerdict, judge
from so_arm_policy.evaluate.policy_agent import PolicyTiming
from so_arm_policy.evaluate.seeing_agent import SeeingTiming
from so_arm_policy.evaluate.statistics import mean, percentile

# What lockstep takes a picture to need until something follows from it, for policies and for hand-crafted sources.
ASSUMED_MS = {
    "learned": 1e3 * PolicyTiming().context_latency_ticks / CONTROL_HZ,
    "hand-crafted": 1e3 * SeeingTiming().latency_ticks / CONTROL_HZ,
}


@dataclass(frozen=True, kw_only=True)
class Both:
    """One figure live and in lockstep: means over the shared seeds on which each has it, and live less lockstep.

    difference: over seeds on which both have it; None of fewer than two.
    """

    live: float | None
    lockstep: float | None
    difference: Difference | None


@dataclass(frozen=True, kw_only=True)
class LiveSummary:
    """One controller on one task: live against lockstep on the seeds that both ran.

    judged: A is live, B lockstep. seeds: shared ones; broken: live episodes that never began, or without one in
    lockstep: they count nowhere else. time_s: of seeds on which both succeeded. tracking_error_rad, interventions (a
    minute). latency_*_ms, context_*_ms: medians over the episodes. ticks, missed, tick_*_ms: of the supervisor, all
    episodes together; source_missed, simulator_missed: sums. real_time_factor: the least. failures: stage and reason.
    """

    task: str
    controller: str
    judged: PairVerdict
    broken: int
    time_s: Both
    tracking_error_rad: Both
    interventions: Both
    latency_p50_ms: float | None
    latency_p99_ms: float | None
    assumed_ms: float | None
    context_p50_ms: float | None
    context_p99_ms: float | None
    ticks: int
    missed: int
    source_missed: int
    simulator_missed: int
    tick_p50_ms: float | None
    tick_p99_ms: float | None
    tick_p999_ms: float | None
    real_time_factor: float | None
    failures: dict[str, int]

    @property
    def seeds(self) -> int:
        """How many both ran."""
        return self.judged.pairs.seeds

    @property
    def live(self) -> int:
        """Successes on the graph."""
        return self.judged.pairs.both + self.judged.pairs.only_a

    @property
    def lockstep(self) -> int:
        """Successes in lockstep."""
        return self.judged.pairs.both + self.judged.pairs.only_b


def summarise_live(live: Sequence[LiveRow], lockstep: Sequence[EpisodeRow]) -> list[LiveSummary]:
    """Return a summary of each controller on each task that `live` has, judged together, in the order of `live`.

    Of `lockstep` the undisturbed episodes of the same bundle on the same seeds count. An episode whose stack died is a
    failure; one whose stack never came up says nothing.
    """
    beside = {(row.task, row.controller, row.bundle_sha256, row.seed): row for row in lockstep if not row.perturbation}
    cells: dict[tuple[str, str], list[LiveRow]] = {}
    for row in live:
        cells.setdefault((row.task, row.controller), []).append(row)
    shared = []
    for rows in cells.values():
        found = [(row, beside.get((row.task, row.controller, row.bundle_sha256, row.seed))) for row in rows]
        shared.append([(a, b) for a, b in found if b is not None and _ran(a) and _ran(b)])
    verdicts = judge([([a.success for a, _ in pairs], [b.success for _, b in pairs]) for pairs in shared])
    return [
        _summary(rows, pairs, verdict) for rows, pairs, verdict in zip(cells.values(), shared, verdicts, strict=True)
    ]


def interventions(row: EpisodeRow) -> float | None:
    """Return the supervisor's interventions a minute in an episode in lockstep or live; None where not known."""
    if isinstance(row, LiveRow):
        return row.interventions_per_min
    rates = (row.clamps_per_min, row.rejects_per_min, row.holds_per_min)
    known = [rate for rate in rates if rate is not None]
    return sum(known) if len(known) == len(rates) else None


def _ran(row: EpisodeRow) -> bool:
    return row.failure_stage != "setup"


def _summary(rows: Sequence[LiveRow], pairs: Sequence[tuple[LiveRow, EpisodeRow]], verdict: PairVerdict) -> LiveSummary:
    ran = [row for row, _ in pairs]
    done = [(a, b) for a, b in pairs if a.success and b.success]
    lateness: Counter[int] = Counter()
    for row in ran:
        lateness.update({int(place): int(count) for place, count in json.loads(row.lateness_10us or "{}").items()})

    def late(percent: float) -> float | None:
        return percentile_ms(lateness, percent) if lateness else None

    def median(value: Callable[[LiveRow], float | None]) -> float | None:
        return percentile(_known(map(value, ran)), 50)

    return LiveSummary(
        task=rows[0].task,
        controller=rows[0].controller,
        judged=verdict,
        broken=len(rows) - len(pairs),
        time_s=_both(done, lambda row: row.time_s),
        tracking_error_rad=_both(pairs, lambda row: row.tracking_error_rad),
        interventions=_both(pairs, interventions),
        latency_p50_ms=median(lambda row: row.latency_p50_ms),
        latency_p99_ms=median(lambda row: row.latency_p99_ms),
        assumed_ms=_assumed_ms(rows[0]),
        context_p50_ms=median(lambda row: row.context_p50_ms),
        context_p99_ms=median(lambda row: row.context_p99_ms),
        ticks=sum(row.supervisor_ticks or 0 for row in ran),
        missed=sum(row.supervisor_missed or 0 for row in ran),
        source_missed=sum(row.source_missed or 0 for row in ran),
        simulator_missed=sum(row.simulator_missed or 0 for row in ran),
        tick_p50_ms=late(50),
        tick_p99_ms=late(99),
        tick_p999_ms=late(99.9),
        real_time_factor=min(_known(row.real_time_factor for row in ran), default=None),
        failures=dict(Counter(f"{r.failure_stage}: {r.failure_reason}" for r in rows if not r.success).most_common()),
    )


def _assumed_ms(row: LiveRow) -> float | None:
    if row.sees != "cameras":
        return None
    return ASSUMED_MS["learned" if row.bundle else "hand-crafted"]


def _both(pairs: Sequence[tuple[EpisodeRow, EpisodeRow]], value: Callable[[EpisodeRow], float | None]) -> Both:
    found = [(value(a), value(b)) for a, b in pairs]
    apart = [a - b for a, b in found if a is not None and b is not None]
    interval = mean_interval(apart)
    return Both(
        live=mean(_known(a for a, _ in found)),
        lockstep=mean(_known(b for _, b in found)),
        difference=None
        if interval is None
        else Difference(seeds=len(apart), mean=sum(apart) / len(apart), low=interval[0], high=interval[1]),
    )


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]
