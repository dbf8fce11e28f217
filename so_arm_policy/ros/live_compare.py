"""Runs episodes of a comparison through the live graph, and makes a row of each: also of those that failed to run."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from so_arm_policy.core.errors import ConfigError, DeviceError
from so_arm_policy.evaluate.compare.failures import MESSAGE_LENGTH
from so_arm_policy.evaluate.compare.journal import LiveJournal
from so_arm_policy.evaluate.compare.live.measure import live_row
from so_arm_policy.evaluate.compare.live.poses import Poses
from so_arm_policy.evaluate.compare.live.rows import LiveOutcome, LiveRow, failed_row
from so_arm_policy.evaluate.compare.live.table import LIVE
from so_arm_policy.evaluate.compare.rows import CLEARANCE_MARGIN_M, Identity
from so_arm_policy.evaluate.compare.run import Job, Settings
from so_arm_policy.evaluate.compare.table import write_rows
from so_arm_policy.robot.description import load_robot
from so_arm_policy.ros.demo_run import NodeLog, Say
from so_arm_policy.ros.live_cells import options_of
from so_arm_policy.ros.live_stage import LiveStage, NotHomeError, live_stage
from so_arm_policy.sim.clearance import Clearance
from so_arm_policy.sim.tasks.task import Episode, Task


class LiveComparison:
    """Live episodes of every cell on the same seeds. A folder may be given more of each later."""

    def __init__(self, journal: LiveJournal, folder: Path, cells: Sequence[Identity], seeds: Sequence[int]) -> None:
        """Find out what is missing. Raises ConfigError for rows of another bundle of a controller."""
        self._journal, self._folder = journal, folder
        done = {key: outcome.row for key, outcome in journal.outcomes.items() if outcome.row.failure_stage != "setup"}
        for who in cells:
            _check_same(who, done.values())
        wanted = [Job(who=who, seed=seed) for who in cells for seed in seeds]
        self.jobs = [job for job in wanted if job.key not in done]
        self.total = len(wanted)

    def run(self, settings: Settings, log: NodeLog, say: Say) -> Iterator[LiveRow]:
        """Yield each row once it is on disk: one stack for all episodes of a controller. Raises ConfigError."""
        groups: dict[tuple[str, str], list[Job]] = {}
        for job in self.jobs:
            groups.setdefault((job.who.controller, job.who.robot), []).append(job)
        for jobs in groups.values():
            for row in _Actor(jobs, settings, log, say).rows():
                self._journal.add(LiveOutcome(row=row))
                yield row

    def write(self) -> list[LiveRow]:
        """Write and return all live rows that the folder has, in the order of their keys. Raises ConfigError."""
        rows = [self._journal.outcomes[key].row for key in sorted(self._journal.outcomes)]
        write_rows(self._folder / LIVE, rows, LiveRow)
        return rows


@dataclass(frozen=True)
class _Asked:
    """One episode and its task."""

    task: Task
    episode: Episode


class _Actor:
    """One controller on one robot: its jobs, one after the other, on one stack for as long as that lives."""

    def __init__(self, jobs: Sequence[Job], settings: Settings, log: NodeLog, say: Say) -> None:
        self._jobs, self._settings, self._log, self._say = jobs, settings, log, say
        robot = load_robot(jobs[0].who.robot)
        self._poses, self._clearance = Poses(robot), Clearance(robot, margin_m=CLEARANCE_MARGIN_M)
        self._open = ExitStack()
        self._stage: LiveStage | None = None

    def rows(self) -> Iterator[LiveRow]:
        """Yield the row of each job. A stack that never comes up is not tried again."""
        broken = ""
        try:
            for job in self._jobs:
                asked = self._asked(job)
                if not broken:
                    broken = self._set_up(job)
                if broken:
                    yield _failed(job, asked, "setup", broken)
                    continue
                yield self._row(job, asked)
        finally:
            self._open.close()

    def _row(self, job: Job, asked: _Asked) -> LiveRow:
        try:
            return self._run(job, asked)
        except NotHomeError as error:
            self._say(f"{error}; a fresh stack")
        except DeviceError as error:
            self._tear_down()
            return _failed(job, asked, "error", str(error))
        self._tear_down()
        trouble = self._set_up(job)
        try:
            return _failed(job, asked, "error", trouble) if trouble else self._run(job, asked)
        except DeviceError as error:
            self._tear_down()
            return _failed(job, asked, "error", str(error))

    def _run(self, job: Job, asked: _Asked) -> LiveRow:
        assert self._stage is not None
        heard = self._stage.run(asked.task, asked.episode, self._poses.state_size)
        return live_row(job.who, asked.episode, asked.task.time_limit_s, heard, self._poses, self._clearance)

    def _set_up(self, job: Job) -> str:
        """Start a stack if there is none; return why there is none then, or ""."""
        if self._stage is None:
            try:
                options = options_of(job.who, job.seed)
                self._stage = self._open.enter_context(live_stage(options, self._log, self._say))
            except DeviceError as error:
                return str(error)
        return ""

    def _tear_down(self) -> None:
        self._stage = None
        self._open.close()

    def _asked(self, job: Job) -> _Asked:
        task = self._settings.task(job.who.task)
        return _Asked(task, self._settings.episode(task, job.condition.make(), job.seed))


def _failed(job: Job, asked: _Asked, stage: str, reason: str) -> LiveRow:
    short = " ".join(reason.split())[:MESSAGE_LENGTH]
    return failed_row(job.who, job.seed, asked.episode.instruction, stage, short)


def _check_same(who: Identity, rows: Iterable[LiveRow]) -> None:
    for row in rows:
        if (row.task, row.controller) == (who.task, who.controller) and row.bundle_sha256 != who.bundle_sha256:
            got = f"live episodes of {who.controller} by bundle {row.bundle} ({row.bundle_sha256})"
            raise ConfigError(f"--ros: got {got}, expected {who.bundle} ({who.bundle_sha256}); give another folder")
