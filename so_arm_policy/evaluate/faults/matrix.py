"""The fault matrix: every case with every source and seed, in parallel, and what all of it says together."""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from joblib import Parallel, delayed

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.evaluate.faults.case import (
    CLOCK_SILENCE,
    PROPOSAL_SILENCE,
    REACTION_TICKS,
    STATE_SILENCE,
    Expect,
    FaultCase,
)
from so_arm_policy.evaluate.faults.run import NOBODY, CaseResult, Stage, refuse
from so_arm_policy.evaluate.faults.table import every_case, find
from so_arm_policy.evaluate.statistics import percentile

TICK_MS = 1000.0 / CONTROL_HZ
SILENCES = (PROPOSAL_SILENCE, STATE_SILENCE, CLOCK_SILENCE)


@dataclass(frozen=True)
class Job:
    """One run. seed: None for a case that must not start."""

    group: str
    case: str
    source: str
    seed: int | None


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What one case with one source came to, over all seeds.

    allowed: latest tick of a reaction; reactions, standstill_max: ticks from the beginning of the fault, of a case that
    must stop, nothing where it did not. worst: largest multiple of any limit. why: what was not contained, each kind
    once, with the first seed that showed it. reasons: what the supervisor gave as such, for people.
    """

    group: str
    case: str
    text: str
    expect: str
    allowed: int | None
    source: str
    runs: int
    contained: int
    reactions: tuple[int, ...]
    standstill_max: int | None
    worst: float
    peak_rad_s: float
    why: tuple[str, ...]
    reasons: tuple[str, ...]

    @property
    def good(self) -> bool:
        """Whether every run was contained."""
        return self.contained == self.runs

    def reaction(self, percent: float) -> float | None:
        """Return the tick by which `percent` of the runs had reacted, None where none did."""
        return percentile(self.reactions, percent)


def jobs_of(cases: Sequence[tuple[str, FaultCase]], sources: Sequence[str], seeds: Sequence[int]) -> list[Job]:
    """Return all runs, those of one source and robot next to each other."""
    starts = [Job(group, case.name, NOBODY, None) for group, case in cases if case.expect is Expect.REFUSES]
    runs = [
        (case.robot, Job(group, case.name, source, seed))
        for source in sources
        for group, case in cases
        for seed in seeds
        if case.expect is not Expect.REFUSES and source in case.sources
    ]
    return starts + [job for _, job in sorted(runs, key=lambda run: (sources.index(run[1].source), run[0]))]


def run_jobs(jobs: Sequence[Job], processes: int = 1) -> Iterator[CaseResult]:
    """Yield the result of each run, in order; the same whatever `processes` is. Raises ConfigError."""
    if not 1 <= processes <= 256:
        raise ConfigError(f"faults: got {processes} jobs, expected 1..256")
    if processes == 1:
        return _run_here(jobs)
    work = (delayed(_run_in_worker)(job) for job in jobs)
    return iter(Parallel(n_jobs=processes, return_as="generator", batch_size=4)(work))


def _run_here(jobs: Sequence[Job]) -> Iterator[CaseResult]:
    stages: dict[tuple[str, str], Stage] = {}

    def stage(source: str, robot: str) -> Stage:
        if (source, robot) not in stages:
            stages[source, robot] = Stage(source, robot)
        return stages[source, robot]

    try:
        for job in jobs:
            yield _run(job, stage)
    finally:
        for opened in stages.values():
            opened.close()


@lru_cache(maxsize=2)
def _stage(source: str, robot: str) -> Stage:
    """What a worker process keeps from job to job."""
    return Stage(source, robot)


def _run_in_worker(job: Job) -> CaseResult:
    return _run(job, _stage)


def _run(job: Job, stage: Callable[[str, str], Stage]) -> CaseResult:
    # Injectors hold functions, which do not travel between processes: the names of their cases do.
    case = find(job.case)
    if job.seed is None:
        return refuse(case, job.group)
    return stage(job.source, case.robot).run(case, job.group, job.seed)


def cells_of(results: Sequence[CaseResult]) -> list[Cell]:
    """Sum up over the seeds, in the order of the table."""
    together: dict[tuple[str, str], list[CaseResult]] = {}
    for result in results:
        together.setdefault((result.case, result.source), []).append(result)
    order = [case.name for _, case in every_case()]
    return [
        _cell(find(name), together[name, source]) for name, source in sorted(together, key=lambda c: order.index(c[0]))
    ]


def _cell(case: FaultCase, runs: Sequence[CaseResult]) -> Cell:
    found = [run.found for run in runs if run.found is not None]
    stops = [f.halt for f in found] if case.expect is Expect.STOPS else []
    why: dict[str, str] = {}
    for run in runs:
        for reason in run.why:
            kind = re.sub(r"[\d.]+", "", reason)
            why.setdefault(kind, reason if run.seed is None else f"{reason} (seed {run.seed})")
    return Cell(
        group=runs[0].group,
        case=case.name,
        text=case.text,
        expect=case.expect.value,
        allowed=case.reaction if case.expect is Expect.STOPS else None,
        source=runs[0].source,
        runs=len(runs),
        contained=sum(run.contained for run in runs),
        reactions=tuple(halt.reaction for halt in stops if halt.reaction is not None),
        standstill_max=max((halt.standstill for halt in stops if halt.standstill is not None), default=None),
        worst=max((f.ratios.worst for f in found), default=math.nan),
        peak_rad_s=max((f.peak_rad_s for f in found), default=math.nan),
        why=tuple(why.values()),
        reasons=tuple(dict.fromkeys(reason for run in runs for reason in run.reasons))[:4],
    )


def reactions_text(cells: Sequence[Cell]) -> list[str]:
    """Return how fast value and motion faults, and silences, were reacted to, a line for each."""
    lines = []
    for what, these in (
        ("value and motion faults", [c for c in cells if c.allowed == REACTION_TICKS]),
        ("silences, after the timeout", [c for c in cells if c.allowed in SILENCES]),
    ):
        late = [r - (c.allowed or 0) + REACTION_TICKS for c in these for r in c.reactions]
        ticks = [max(r, 0) for r in late]
        if ticks:
            p50, p99, most = (float(percentile(ticks, p) or 0.0) for p in (50, 99, 100))
            ms = f"{p50 * TICK_MS:.1f}, {p99 * TICK_MS:.1f}, {most * TICK_MS:.1f} ms"
            lines.append(f"{what}: reaction p50 {p50:.0f}, p99 {p99:.0f}, max {most:.0f} ticks ({ms})")
    return lines
