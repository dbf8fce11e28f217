"""Demonstrations of the scripted expert, or scenes of a policy at work, collected in parallel as a LeRobot dataset."""

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from joblib import Parallel, delayed
from tqdm import tqdm

from so_arm_policy.control.grasp import OPEN_RAD
from so_arm_policy.control.ik import ArmIk
from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.core.mapping import to_mapping
from so_arm_policy.learn.datasets.index import finish
from so_arm_policy.learn.datasets.writer import DatasetWriter, EpisodeRecord
from so_arm_policy.learn.demonstrations.episode_rows import FPS, ROW_TICKS, EpisodeRows
from so_arm_policy.learn.demonstrations.labels import SceneLabels, expert_labels
from so_arm_policy.learn.demonstrations.policy_at_work import PolicyAtWork
from so_arm_policy.policy.manifest import read_manifest
from so_arm_policy.policy.preprocess import resize
from so_arm_policy.robot.description import load_robot
from so_arm_policy.sim.expert import Expert, arm_iks
from so_arm_policy.sim.law import TICK_S
from so_arm_policy.sim.renderer import SceneRenderer
from so_arm_policy.sim.scene import EVERYTHING
from so_arm_policy.sim.simulator import Simulator
from so_arm_policy.sim.tasks import TASKS, make_task
from so_arm_policy.sim.tasks.task import Episode, Task

AFTER_ROWS = 15  # that an episode goes on after success, so that staying is shown too
PUSHED = 0.1  # of the rows
PUSH_RAD_S = 0.4
# Demonstrations of each task that a policy of all tasks is trained on.
EPISODES = {"reach": 2000, "track": 500, "pick_place": 2000, "sort": 600, "handover": 2000}
CONFIG_FILE = "collect.json"
MOST_JOBS, MOST_SEED = 256, 2**31
ANOTHER_SEED = 10_000_000  # further on, where the first scene is out of the arm's reach


@dataclass(frozen=True, kw_only=True)
class CollectConfig:
    """What to collect: `episodes` of a task, `shard` of them in a file, a picture of each camera every few rows.

    policy: folder of a bundle that acts instead of the expert, for scenes that only System 2 learns from.
    first_seed: by default one of the task's own, so that no two tasks show the same scenes. Pictures are stored at the
    size that the policy sees.
    """

    task: str = "reach"
    episodes: int = 1000
    first_seed: int | None = None
    shard: int = 50
    picture_every: int = 6
    image_height: int = 96
    image_width: int = 128
    policy: str = ""

    def __post_init__(self) -> None:
        """Refuse sizes that make no shard."""
        make_task(self.task)
        if not (self.shard > 0 and self.episodes > 0 and self.episodes % self.shard == 0):
            raise ConfigError(f"collect: got {self.episodes} episodes in shards of {self.shard}, expected a multiple")
        if not 0 < self.picture_every <= 30:
            raise ConfigError(f"collect: got a picture every {self.picture_every} rows, expected 1..30")
        if not 0 <= self.first <= MOST_SEED:
            raise ConfigError(f"collect: got first seed {self.first}, expected 0..{MOST_SEED}")

    @classmethod
    def of(cls, task: str, episodes: int | None, **more: Any) -> Self:
        """Return the config for `episodes`, or for as many as the task needs where None. Raises ConfigError."""
        make_task(task)
        return cls(task=task, episodes=EPISODES[task] if episodes is None else episodes, **more)

    @property
    def first(self) -> int:
        """Seed of the first episode: far from those that policies are judged by."""
        own = 100_000 * (1 + list(TASKS).index(self.task)) + (50_000 if self.policy else 0)
        return own if self.first_seed is None else self.first_seed


def collect(config: CollectConfig, folder: Path, jobs: int = 2) -> None:
    """Write all shards that `folder` lacks and make them one dataset; a killed run goes on where it stopped."""
    if not 1 <= jobs <= MOST_JOBS:
        raise ConfigError(f"collect: got {jobs} jobs, expected 1..{MOST_JOBS}")
    _keep_config(config, folder)
    writer = _writer(config, folder)
    shards = config.episodes // config.shard
    todo = writer.missing(shards)
    tasks = (delayed(_write_shard)(config, folder, i) for i in todo)
    for _ in tqdm(Parallel(n_jobs=jobs, return_as="generator_unordered")(tasks), total=len(todo), unit="shard"):
        pass
    finish(folder, shards)


def _writer(config: CollectConfig, folder: Path) -> DatasetWriter:
    return DatasetWriter(folder=folder, robot=load_robot(make_task(config.task).robot), fps=FPS)


def training_task(name: str) -> Task:
    """Return the task called `name` in scenes of every colour and kind but those kept for tests. Raises ConfigError."""
    return make_task(name, EVERYTHING)


def _keep_config(config: CollectConfig, folder: Path) -> None:
    """Write what the shards in `folder` are into it; refuse to add others to them. The number may grow."""
    policy = read_manifest(Path(config.policy)).id if config.policy else ""
    path, said = folder / CONFIG_FILE, to_mapping(dataclasses.replace(config, episodes=config.shard, policy=policy))
    try:
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(said) + "\n", encoding="utf-8")
        found = to_mapping(CollectConfig()) | json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path}: got {error}, expected what was collected there") from error
    if found != said:
        raise ConfigError(f"{folder}: got demonstrations of {found}, expected {said}; choose another folder")


def collected(folder: Path) -> tuple[str, str]:
    """Return the task of the dataset in `folder`, and the id of the bundle that acted in it, "" for the expert.

    Raises InputError for one that `so-arm collect` has not made.
    """
    path = folder / CONFIG_FILE
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return str(said["task"]), str(said.get("policy") or "")
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{path}: got {error!r}, expected a dataset of `so-arm collect`") from error


def watched(folder: Path) -> tuple[str, str]:
    """Return the task of the dataset in `folder`, and the id of the bundle that acted in it. Raises InputError."""
    task, policy = collected(folder)
    if not policy:
        raise InputError(f"{folder / CONFIG_FILE}: got demonstrations, expected a dataset of `so-arm collect --policy`")
    return task, policy


def _write_shard(config: CollectConfig, folder: Path, index: int) -> None:
    _writer(config, folder).write_shard(index, episodes(config, index))


def episodes(config: CollectConfig, index: int) -> Iterator[EpisodeRecord]:
    """Demonstrate the episodes of shard number `index`, or let the policy do them."""
    first = config.first + index * config.shard
    for seed in range(first, first + config.shard):
        if config.policy:
            size = config.image_height, config.image_width
            yield _at_work(config.task, config.policy).record(seed, config.picture_every, size)
        else:
            yield _stage(config.task).demonstrate(config, seed)


@cache
def _stage(task: str) -> "_Stage":
    return _Stage(training_task(task))


@cache
def _at_work(task: str, bundle: str) -> PolicyAtWork:
    return PolicyAtWork(training_task(task), bundle)


class _Stage:
    """Simulator, renderer and expert, made once for each worker process."""

    def __init__(self, task: Task) -> None:
        self._task, self._robot = task, load_robot(task.robot)
        self._simulator = Simulator(self._robot, task.sample(0).scene)
        self._renderer = SceneRenderer(self._robot)
        self._expert, self._iks = Expert(self._robot, task), arm_iks(self._robot)
        self._labels = SceneLabels(self._robot)

    def demonstrate(self, config: CollectConfig, seed: int) -> EpisodeRecord:
        """Let the expert do the episode of `seed`, from a random start, pushed off its way now and then."""
        rng = np.random.default_rng([seed, 303])
        episode = self._begin(seed, rng)
        tracker, rows, done, after = self._task.tracker(episode.goal), EpisodeRows(), False, 0
        for row in range(round(self._task.time_limit_s * FPS)):
            self._record(rows, config, row % config.picture_every == 0)
            push = self._push(rng)
            for _ in range(ROW_TICKS):
                q, _ = self._expert.command(self._simulator)
                self._expert.q = np.clip(q + push * TICK_S, self._robot.lower, self._robot.upper)
                self._simulator.step(self._expert.q)
                done = tracker.update(self._simulator).success or done
            after += done
            if after > AFTER_ROWS:
                break
        return rows.record(episode.instruction, self._robot.camera_names)

    def _begin(self, seed: int, rng: np.random.Generator) -> Episode:
        while True:
            episode = self._task.sample(seed)
            self._simulator.reset(episode.scene, self._random_start(rng))
            try:
                self._expert.reset(self._simulator, episode.goal)
            except InputError:
                seed += ANOTHER_SEED
                continue
            return episode

    def _push(self, rng: np.random.Generator) -> FloatArray:
        """Draw how fast the reference is pushed in this row, (n,) rad/s; hardly while something may be in the hand."""
        assert self._expert.plan is not None
        free = int(self._expert.stage) in (0, self._expert.plan.stages - 1)
        return rng.normal(0.0, PUSH_RAD_S if free else 0.3 * PUSH_RAD_S, len(self._robot.joints)) * (
            rng.random() < PUSHED
        )

    def _record(self, rows: EpisodeRows, config: CollectConfig, picture: bool) -> None:
        if picture:
            rows.see(self._pictures(config), self._labels.of(self._simulator))
        rows.add(self._simulator.q, self._expert.q.copy(), expert_labels(self._expert))

    def _pictures(self, config: CollectConfig) -> npt.NDArray[np.uint8]:
        """Return what every camera sees, (cameras, height, width, 3)."""
        scene, qpos = self._simulator.scene, self._simulator.qpos
        views = [self._renderer.render(scene, qpos, name) for name in self._robot.camera_names]
        return np.stack([resize(view, config.image_height, config.image_width) for view in views])

    def _random_start(self, rng: np.random.Generator) -> FloatArray:
        """Draw a start: each arm near home or with the fingertip anywhere over the table; the gripper anyhow."""
        pose = self._robot.home + rng.normal(0.0, 0.05, len(self._robot.joints))
        for ik in self._iks:
            if rng.random() < 0.6:
                pose = self._anywhere(pose, ik, rng)
            pose[ik.gripper] = rng.uniform(-0.1, OPEN_RAD)
        return np.clip(pose, self._robot.lower, self._robot.upper)

    def _anywhere(self, pose: FloatArray, ik: ArmIk, rng: np.random.Generator) -> FloatArray:
        while True:
            radius, angle = rng.uniform(0.15, 0.30), np.radians(rng.uniform(-75, 75))
            point = np.array([radius * np.cos(angle), radius * np.sin(angle), rng.uniform(0.06, 0.16)])
            try:
                found = ik.solve(point, pose, tolerance_m=0.02)
            except InputError:
                continue
            found[ik.gripper - 1] += rng.normal(0.0, 0.5)
            return found
