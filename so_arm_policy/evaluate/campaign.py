"""Many episodes of one agent: run in parallel over seeds, summed up with intervals."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.evaluate.agent import Agent
from so_arm_policy.evaluate.animation import GifRecorder
from so_arm_policy.evaluate.controllers import CONTROLLERS
from so_arm_policy.evaluate.policy_agent import PolicyAgent, PolicyTiming
from so_arm_policy.evaluate.rollout import EpisodeResult, Rollout
from so_arm_policy.evaluate.statistics import mean, percentile, wilson_interval
from so_arm_policy.policy.bundle import file_hash, load_bundle
from so_arm_policy.policy.manifest import FILE_NAME
from so_arm_policy.robot.description import load_robot
from so_arm_policy.sim.scene import EVERYTHING
from so_arm_policy.sim.tasks import make_task
from so_arm_policy.sim.tasks.task import Episode, Task

SCRIPTED = tuple(name for name, row in CONTROLLERS.items() if row.bundle is None)


@dataclass(frozen=True, kw_only=True)
class Campaign:
    """What to evaluate. Exactly one of bundle and scripted says who acts.

    bundle: folder of a policy; scripted: one of SCRIPTED; robot: used with scripted, by default
    the task's; a bundle names its own.
    shuffle_instructions: tell each episode an instruction that fits its scene, drawn at random, and judge it by what
    was meant: an agent that reads succeeds by chance only, one that ignores the instruction as before.
    split: which episodes; one of SPLITS. all_objects: in scenes of every colour and kind that is trained on, also where
    the task's own have fewer.
    precision, joining: of a bundle's System 1. gif: folder for a moving picture of each episode.
    """

    task: str
    bundle: str | None = None
    scripted: str | None = None
    robot: str | None = None
    shuffle_instructions: bool = False
    split: str = "train"
    all_objects: bool = False
    timing: PolicyTiming = field(default_factory=PolicyTiming)
    precision: str = "fp32"
    joining: str = "committed"
    gif: str | None = None

    def __post_init__(self) -> None:
        """Refuse no agent or two, and unknown ones."""
        if (self.bundle is None) == (self.scripted is None):
            raise ConfigError(f"evaluation: got bundle {self.bundle!r} and {self.scripted!r}, expected exactly one")
        if self.scripted is not None and (self.precision, self.joining) != ("fp32", "committed"):
            got = f"precision {self.precision!r} and joining {self.joining!r}"
            raise ConfigError(f"evaluation: got {got} of a scripted agent, expected a bundle")
        if self.scripted is not None and self.scripted not in SCRIPTED:
            raise ConfigError(f"evaluation: got agent {self.scripted!r}, expected one of {sorted(SCRIPTED)}")


def run_campaign(campaign: Campaign, seeds: Sequence[int], jobs: int = 1) -> Iterator[EpisodeResult]:
    """Yield the result of each seed, in order; the same whatever `jobs` is. Checks the campaign before it starts."""
    if not 1 <= jobs <= 256:
        raise ConfigError(f"evaluation: got {jobs} jobs, expected 1..256")
    task, _, _ = make_agent(campaign)
    episode_of(task, seeds[0], campaign.shuffle_instructions, campaign.split)
    if jobs == 1:
        return _run_here(campaign, seeds)
    # Workers live on: what lies in the bundle's folder may be another one than when they were last asked.
    version = file_hash(Path(campaign.bundle) / FILE_NAME) if campaign.bundle else ""
    tasks = (delayed(_run_in_worker)(campaign, version, seed) for seed in seeds)
    return iter(Parallel(n_jobs=jobs, return_as="generator")(tasks))


def episode_of(task: Task, seed: int, shuffle_instructions: bool = False, split: str = "train") -> Episode:
    """Return the episode of `seed`, told another instruction of its own scene where they are shuffled."""
    episode = task.sample(seed, split)
    if not shuffle_instructions:
        return episode
    told = task.instructions(episode.scene)
    return replace(episode, instruction=told[int(np.random.default_rng([seed, 404]).integers(len(told)))])


def make_agent(campaign: Campaign) -> tuple[Task, RobotConfig, Agent]:
    """Return the task, the robot and who acts. Raises ConfigError or BundleError."""
    task = make_task(campaign.task, EVERYTHING if campaign.all_objects else None)
    if campaign.scripted is not None:
        robot = load_robot(campaign.robot or task.robot)
        row = CONTROLLERS[campaign.scripted]
        if row.tasks is not None and task.name not in row.tasks:
            expected = " or ".join(map(repr, row.tasks))
            raise ConfigError(f"agent {campaign.scripted!r}: got task {task.name!r}, expected {expected}")
        return task, robot, row.make(task, robot)
    assert campaign.bundle is not None
    bundle = load_bundle(campaign.bundle)
    if task.name not in bundle.manifest.tasks:
        raise ConfigError(f"bundle {campaign.bundle}: got tasks {list(bundle.manifest.tasks)}, expected {task.name!r}")
    robot = load_robot(bundle.manifest.robot)
    return task, robot, PolicyAgent(bundle, robot, campaign.timing, campaign.precision, campaign.joining)


class _Stage:
    """What one process keeps from seed to seed."""

    def __init__(self, campaign: Campaign) -> None:
        self._task, robot, agent = make_agent(campaign)
        self._rollout = Rollout(self._task, robot, agent)
        self._shuffle, self._split = campaign.shuffle_instructions, campaign.split
        self._gifs = [GifRecorder(robot, Path(campaign.gif))] if campaign.gif else []

    def run(self, seed: int) -> EpisodeResult:
        return self._rollout.run(episode_of(self._task, seed, self._shuffle, self._split), self._gifs)

    def close(self) -> None:
        self._rollout.close()
        for gif in self._gifs:
            gif.close()


def _run_here(campaign: Campaign, seeds: Sequence[int]) -> Iterator[EpisodeResult]:
    stage = _Stage(campaign)
    try:
        for seed in seeds:
            yield stage.run(seed)
    finally:
        stage.close()


@lru_cache(maxsize=1)
def _stage(campaign: Campaign, version: str) -> _Stage:  # noqa: ARG001 - a part of the key
    return _Stage(campaign)


def _run_in_worker(campaign: Campaign, version: str, seed: int) -> EpisodeResult:
    return _stage(campaign, version).run(seed)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What many episodes say together.

    success_low, success_high: 95 % Wilson interval. mean_time_s: of the successes. smoothness: median of the
    successes' log dimensionless jerk. Inference times are measured.
    """

    episodes: int
    successes: int
    success_low: float
    success_high: float
    mean_distance_m: float | None
    mean_held_s: float | None
    mean_time_s: float | None
    smoothness: float | None
    actions: dict[str, int]
    rules: dict[str, int]
    silences: dict[str, int]
    inferences: int
    system1_p50_ms: float | None
    system1_p99_ms: float | None
    contexts: int
    system2_p50_ms: float | None
    system2_p99_ms: float | None


def summarise(results: Sequence[EpisodeResult]) -> Summary:
    """Sum up `results`."""
    successes = sum(result.success for result in results)
    low, high = wilson_interval(successes, len(results))
    system1_ms = [ms for result in results for ms in result.agent.system1_ms]
    system2_ms = [ms for result in results for ms in result.agent.system2_ms]
    return Summary(
        episodes=len(results),
        successes=successes,
        success_low=low,
        success_high=high,
        mean_distance_m=mean([result.final_distance_m for result in results]),
        mean_held_s=mean([result.held_s for result in results]),
        mean_time_s=mean([result.time_s for result in results if result.time_s is not None]),
        smoothness=percentile([r.smoothness for r in results if r.success and r.smoothness is not None], 50),
        actions=_added(result.actions for result in results),
        rules=_added(result.rules for result in results),
        silences=_added(result.agent.silences for result in results),
        inferences=sum(result.agent.inferences for result in results),
        system1_p50_ms=percentile(system1_ms, 50),
        system1_p99_ms=percentile(system1_ms, 99),
        contexts=sum(result.agent.contexts for result in results),
        system2_p50_ms=percentile(system2_ms, 50),
        system2_p99_ms=percentile(system2_ms, 99),
    )


def _added(counts: Iterator[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for part in counts:
        total.update(part)
    return dict(total.most_common())
