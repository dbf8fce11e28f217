"""A comparison in a folder: runs what is missing there, keeps all of it, and writes the tables."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.evaluate.compare.journal import Journal
from so_arm_policy.evaluate.compare.rows import EpisodeRow, Identity, TimingRow
from so_arm_policy.evaluate.compare.run import Job, Outcome, Settings, run_jobs
from so_arm_policy.evaluate.compare.table import write_rows
from so_arm_policy.evaluate.graded import UNDISTURBED, Condition

RESULTS, TIMING = "results.parquet", "timing.parquet"


class Comparison:
    """Episodes of every cell on the same seeds in the same conditions. A folder may be given more of each later."""

    def __init__(
        self,
        journal: Journal,
        folder: Path,
        cells: Sequence[Identity],
        seeds: Sequence[int],
        conditions: Sequence[Condition] = (UNDISTURBED,),
    ) -> None:
        """Find out what is missing. Raises ConfigError for no seeds, and for rows of another bundle of a controller."""
        if not seeds:
            raise ConfigError("comparison: got no seeds, expected at least one")
        self._journal, self._folder = journal, folder
        done = {key: outcome.row for key, outcome in journal.outcomes.items() if not _never_ran(outcome.row)}
        for who in cells:
            _check_same(who, done.values())
        wanted = [Job(who=who, seed=seed, condition=under) for who in cells for under in conditions for seed in seeds]
        self.jobs = [job for job in wanted if job.key not in done]
        self.total = len(wanted)

    def run(self, settings: Settings, processes: int) -> Iterator[Outcome]:
        """Yield each outcome once it is on disk. Raises ConfigError."""
        for outcome in run_jobs(self.jobs, settings, processes):
            self._journal.add(outcome)
            yield outcome

    def write(self) -> tuple[list[EpisodeRow], list[TimingRow]]:
        """Write and return everything that the folder has, in the order of the keys. Raises ConfigError."""
        outcomes = [self._journal.outcomes[key] for key in sorted(self._journal.outcomes)]
        rows, timing = [outcome.row for outcome in outcomes], [outcome.timing for outcome in outcomes]
        write_rows(self._folder / RESULTS, rows, EpisodeRow)
        write_rows(self._folder / TIMING, timing, TimingRow)
        return rows, timing


def _never_ran(row: EpisodeRow) -> bool:
    """Whether the controller could not be made: tried again, as that may have been mended."""
    return row.failure_stage == "setup"


def _check_same(who: Identity, rows: Iterable[EpisodeRow]) -> None:
    for row in rows:
        if (row.task, row.controller) == (who.task, who.controller) and row.bundle_sha256 != who.bundle_sha256:
            got = f"episodes of {who.controller} by bundle {row.bundle} ({row.bundle_sha256})"
            raise ConfigError(
                f"comparison: got {got}, expected {who.bundle} ({who.bundle_sha256}); give another folder"
            )
