"""Runs the episodes of a comparison, in parallel, and makes a row of each: also of those that could not be run."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor

from so_arm_policy.core.errors import ConfigError, DeviceError
from so_arm_policy.evaluate.compare.failures import error_reason
from so_arm_policy.evaluate.compare.rows import (
    CLEARANCE_MARGIN_M,
    EpisodeRow,
    Identity,
    Key,
    TimingRow,
    episode_row,
    timing_row,
)
from so_arm_policy.evaluate.compare.trace import TraceRecorder
from so_arm_policy.evaluate.controllers import controller
from so_arm_policy.evaluate.graded import UNDISTURBED, Condition
from so_arm_policy.evaluate.perturbations import Perturbation, perturbed
from so_arm_policy.evaluate.rollout import Rollout
from so_arm_policy.robot.description import load_robot
from so_arm_policy.sim.clearance import Clearance
from so_arm_policy.sim.scene import EVERYTHING
from so_arm_policy.sim.tasks import make_task
from so_arm_policy.sim.tasks.task import SPLITS, Episode, Task

MOST_JOBS = 256


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What all episodes of a comparison share. split: one of SPLITS; all_objects: as in Campaign."""

    split: str = "train"
    all_objects: bool = False

    def task(self, name: str) -> Task:
        """Return a task in the scenes that are meant. Raises ConfigError."""
        return make_task(name, EVERYTHING if self.all_objects else None)

    def episode(self, task: Task, perturbation: Perturbation, seed: int) -> Episode:
        """Return what is to be tried. Raises ConfigError where the task or the split has no such episodes."""
        if perturbation.episode is None:
            return task.sample(seed, self.split)
        if self.split != SPLITS[0]:
            raise ConfigError(f"{perturbation.text}: got split {self.split!r}, expected {SPLITS[0]!r}")
        return perturbation.episode(task, seed)


@dataclass(frozen=True, kw_only=True)
class Job:
    """One episode to run."""

    who: Identity
    seed: int
    condition: Condition = UNDISTURBED

    @property
    def key(self) -> Key:
        """That of the row it is to become."""
        return self.who.task, self.who.controller, self.condition.perturbation, self.condition.strength, self.seed


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one episode."""

    row: EpisodeRow
    timing: TimingRow


def run_jobs(jobs: Sequence[Job], settings: Settings, processes: int = 1) -> Iterator[Outcome]:
    """Yield the outcome of each job as it ends; the same outcomes whatever `processes` is, but for their order.

    Raises ConfigError, before anything is run, for a split or phrasings that a task does not have; DeviceError when a
    process dies.
    """
    if not 1 <= processes <= MOST_JOBS:
        raise ConfigError(f"comparison: got {processes} jobs, expected 1..{MOST_JOBS}")
    for name, condition in dict.fromkeys((job.who.task, job.condition) for job in jobs):
        settings.episode(settings.task(name), condition.make(), 0)
    if processes == 1:
        return _run_here(jobs, settings)
    return _run_in_workers(jobs, settings, processes)


def end_workers() -> None:
    """End the processes that are kept for more jobs: what is measured next has the machine to itself."""
    get_reusable_executor(reuse=True).shutdown(wait=True, kill_workers=True)


def _run_here(jobs: Sequence[Job], settings: Settings) -> Iterator[Outcome]:
    stages = _Stages()
    try:
        for job in jobs:
            yield stages.run(job, settings)
    finally:
        stages.close()


def _run_in_workers(jobs: Sequence[Job], settings: Settings, processes: int) -> Iterator[Outcome]:
    # One at a time: a batch that is interrupted would be lost as a whole.
    parallel = Parallel(n_jobs=processes, return_as="generator_unordered", batch_size=1)
    try:
        yield from parallel(delayed(_run_in_worker)(job, settings) for job in jobs)
    except BrokenProcessPool as error:
        raise DeviceError(
            f"comparison: got a process that ended by itself (for want of memory?), expected {processes} to the end; "
            "what is finished is kept, the same command goes on from there"
        ) from error


def _run_in_worker(job: Job, settings: Settings) -> Outcome:
    return _OF_WORKER.run(job, settings)


class _Stage:
    """A task, its robot, who acts and what is made harder, made once for many episodes."""

    def __init__(self, who: Identity, condition: Condition, task: Task) -> None:
        robot, perturbation = load_robot(task.robot), condition.make()
        self._who, self._condition = who, condition
        self._agent = perturbed(controller(who.controller).make(task, robot), perturbation, robot, onset_tick=0)
        disturbance = perturbation.disturbance() if perturbation.disturbance else None
        self._rollout = Rollout(task, robot, self._agent, disturbance=disturbance)
        self._clearance = Clearance(robot, margin_m=CLEARANCE_MARGIN_M)
        self._recorder = TraceRecorder()

    def run(self, episode: Episode) -> Outcome:
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        result = self._rollout.run(episode, [self._recorder])
        wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
        row = episode_row(self._who, self._condition, result, self._recorder.trace(), self._clearance)
        return Outcome(row=row, timing=timing_row(self._who, self._condition, result, wall_s, cpu_s))

    def close(self) -> None:
        self._rollout.close()
        self._agent.close()


class _Stages:
    """Keeps the last stage: the jobs of one controller on one task in one condition come one after the other."""

    def __init__(self) -> None:
        self._for: tuple[Identity, Condition, Settings] | None = None
        self._stage: _Stage | None = None
        self._broken: str | None = None

    def run(self, job: Job, settings: Settings) -> Outcome:
        task = settings.task(job.who.task)
        episode = settings.episode(task, job.condition.make(), job.seed)
        if self._for != (job.who, job.condition, settings):
            self._set_up(job, task, settings)
        if self._stage is None:
            return _failed(job, episode, "setup", str(self._broken))
        try:
            return self._stage.run(episode)
        except Exception as error:  # noqa: BLE001 - whatever a controller raises is what came of its episode
            # What is left of its state must not reach the next episode.
            self.close()
            return _failed(job, episode, "error", error_reason(error))

    def close(self) -> None:
        if self._stage is not None:
            self._stage.close()
        self._for = self._stage = None

    def _set_up(self, job: Job, task: Task, settings: Settings) -> None:
        self.close()
        try:
            self._stage = _Stage(job.who, job.condition, task)
        except Exception as error:  # noqa: BLE001 - a controller that cannot be made must not end the others
            self._broken = error_reason(error)
        self._for = (job.who, job.condition, settings)


_OF_WORKER = _Stages()


def _failed(job: Job, episode: Episode, stage: str, reason: str) -> Outcome:
    who = job.who
    row = EpisodeRow(
        **vars(who),
        **vars(job.condition),
        seed=job.seed,
        instruction=episode.instruction,
        success=False,
        failure_stage=stage,
        failure_reason=reason,
    )
    timing = TimingRow(task=who.task, controller=who.controller, **vars(job.condition), seed=job.seed)
    return Outcome(row=row, timing=timing)
