"""What the episodes of a comparison say: of each controller on each task, and of each pair of them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from so_arm_policy.evaluate.compare.bootstrap import mean_interval
from so_arm_policy.evaluate.compare.rows import EpisodeRow, Key, TimingRow
from so_arm_policy.evaluate.compare.verdicts import ALPHA, PairVerdict, judge
from so_arm_policy.evaluate.statistics import mean, percentile, wilson_interval


@dataclass(frozen=True, kw_only=True)
class CellSummary:
    """One controller on one task in one condition.

    perturbation, strength: as in EpisodeRow. episodes: those in which the controller could be made; broken: the others,
    which count nowhere else. low, high: 95 % Wilson interval. time_s, tip_path_m, energy_j: means of the successes;
    smoothness, sparc: their medians. clearance_m: the least of all episodes. clamps, rejects, holds: a minute, mean of
    the episodes. failures: stage and reason. inference_p50_ms, inference_p99_ms: medians over the episodes. per_minute:
    episodes a minute in one process.
    """

    task: str
    controller: str
    perturbation: str = ""
    strength: float = 0.0
    sees: str
    episodes: int
    broken: int
    successes: int
    low: float
    high: float
    time_s: float | None
    tip_path_m: float | None
    energy_j: float | None
    smoothness: float | None
    sparc: float | None
    clearance_m: float | None
    clamps: float | None
    rejects: float | None
    holds: float | None
    failures: dict[str, int]
    inference_p50_ms: float | None
    inference_p99_ms: float | None
    per_minute: float | None


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Mean of A less that of B over `seeds` on which both succeeded, with its 95 % bootstrap interval."""

    seeds: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Couple:
    """Controllers a and b on the seeds of a task that both have in one condition.

    time_s, smoothness: None of fewer than two seeds.
    """

    task: str
    perturbation: str = ""
    strength: float = 0.0
    a: str
    b: str
    judged: PairVerdict
    time_s: Difference | None
    smoothness: Difference | None


def summarise(rows: Sequence[EpisodeRow], timing: Sequence[TimingRow]) -> list[CellSummary]:
    """Return a summary of every cell that there is, tasks, controllers and conditions in the order of `rows`."""
    clocks = {clock.key: clock for clock in timing}
    return [_summary(found, clocks) for found in _cells(rows).values()]


def compare_pairs(rows: Sequence[EpisodeRow], alpha: float = ALPHA) -> list[Couple]:
    """Judge every two controllers on every task by their shared seeds, in each condition by itself.

    Holm's correction is for all pairs of one condition together: of all tasks, but not of other perturbations and
    strengths. Episodes whose controller could not be made say nothing of it and do not count; one that raised is a
    failure.
    """
    under: dict[tuple[str, float], list[EpisodeRow]] = {}
    for row in rows:
        under.setdefault((row.perturbation, row.strength), []).append(row)
    return [couple for found in under.values() for couple in _couples(found, alpha)]


def _couples(rows: Sequence[EpisodeRow], alpha: float) -> list[Couple]:
    """Judge the pairs of one condition."""
    ran = {key: {row.seed: row for row in found if _ran(row)} for key, found in _cells(rows).items()}
    shared = []
    for one, other in combinations([key for key, found in ran.items() if found], 2):
        seeds = sorted(ran[one].keys() & ran[other].keys())
        if one[0] == other[0] and seeds:
            shared.append(([ran[one][seed] for seed in seeds], [ran[other][seed] for seed in seeds]))
    judged = judge([([row.success for row in a], [row.success for row in b]) for a, b in shared], alpha)
    couples = []
    for (a, b), verdict in zip(shared, judged, strict=True):
        done = [(x, y) for x, y in zip(a, b, strict=True) if x.success and y.success]
        couples.append(
            Couple(
                task=a[0].task,
                perturbation=a[0].perturbation,
                strength=a[0].strength,
                a=a[0].controller,
                b=b[0].controller,
                judged=verdict,
                time_s=_difference([(x.time_s, y.time_s) for x, y in done]),
                smoothness=_difference([(x.log_dimensionless_jerk, y.log_dimensionless_jerk) for x, y in done]),
            )
        )
    return couples


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _ran(row: EpisodeRow) -> bool:
    return row.failure_stage != "setup"


def _cells(rows: Sequence[EpisodeRow]) -> dict[tuple[str, str, str, float], list[EpisodeRow]]:
    cells: dict[tuple[str, str, str, float], list[EpisodeRow]] = {}
    for row in rows:
        cells.setdefault((row.task, row.controller, row.perturbation, row.strength), []).append(row)
    return cells


def _summary(rows: Sequence[EpisodeRow], clocks: Mapping[Key, TimingRow]) -> CellSummary:
    ran = [row for row in rows if _ran(row)]
    good = [row for row in ran if row.success]
    timing = [clocks[row.key] for row in ran if row.key in clocks]
    low, high = wilson_interval(len(good), len(ran))
    wall_s = mean([clock.wall_s for clock in timing if clock.wall_s is not None])
    return CellSummary(
        task=rows[0].task,
        controller=rows[0].controller,
        perturbation=rows[0].perturbation,
        strength=rows[0].strength,
        sees=rows[0].sees,
        episodes=len(ran),
        broken=len(rows) - len(ran),
        successes=len(good),
        low=low,
        high=high,
        time_s=mean(_known(row.time_s for row in good)),
        tip_path_m=mean(_known(row.tip_path_m for row in good)),
        energy_j=mean(_known(row.energy_j for row in good)),
        smoothness=percentile(_known(row.log_dimensionless_jerk for row in good), 50),
        sparc=percentile(_known(row.sparc for row in good), 50),
        clearance_m=min(_known(row.clearance_m for row in ran), default=None),
        clamps=mean(_known(row.clamps_per_min for row in ran)),
        rejects=mean(_known(row.rejects_per_min for row in ran)),
        holds=mean(_known(row.holds_per_min for row in ran)),
        failures=dict(Counter(f"{r.failure_stage}: {r.failure_reason}" for r in rows if not r.success).most_common()),
        inference_p50_ms=percentile(_known(clock.inference_p50_ms for clock in timing), 50),
        inference_p99_ms=percentile(_known(clock.inference_p99_ms for clock in timing), 50),
        per_minute=60.0 / wall_s if wall_s else None,
    )


def _difference(values: Sequence[tuple[float | None, float | None]]) -> Difference | None:
    apart = [a - b for a, b in values if a is not None and b is not None]
    interval = mean_interval(apart)
    if interval is None:
        return None
    return Difference(seeds=len(apart), mean=sum(apart) / len(apart), low=interval[0], high=interval[1])
