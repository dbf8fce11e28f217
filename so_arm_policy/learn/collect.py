"""Demonstrations of the scripted expert, collected in parallel over seeds into shards on disk."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from joblib import Parallel, delayed
from tqdm import tqdm

from so_arm_policy.control.ik import ArmIk
from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.policy.preprocess import resize
from so_arm_policy.robot.description import load_robot
from so_arm_policy.sim.arm_model import arm_spec
from so_arm_policy.sim.law import TICK_S, Plan, advance
from so_arm_policy.sim.renderer import SceneRenderer
from so_arm_policy.sim.scene import Scene, random_scene
from so_arm_policy.sim.simulator import Simulator
from so_arm_policy.sim.tasks.reach import way_to_touch

ROW_TICKS = 4  # one row of a demonstration every 4 ticks: 30 Hz


@dataclass(frozen=True, kw_only=True)
class CollectConfig:
    """What to collect. Seeds run from first_seed; pictures are stored at the size the policy sees."""

    robot: str = "so101"
    first_seed: int = 100_000
    episodes: int = 6000
    shard: int = 100
    rows: int = 72
    frames: int = 6
    image_height: int = 96
    image_width: int = 128

    def __post_init__(self) -> None:
        """Refuse sizes that make no shard."""
        if not (self.shard > 0 and self.episodes > 0 and self.episodes % self.shard == 0):
            raise ConfigError(f"collect: got {self.episodes} episodes in shards of {self.shard}, expected a multiple")
        if not 0 < self.frames <= self.rows:
            raise ConfigError(f"collect: got {self.frames} frames of {self.rows} rows, expected 1..{self.rows}")


def collect(config: CollectConfig, folder: Path, jobs: int = 2) -> None:
    """Write all shards that `folder` lacks; a killed run goes on where it stopped."""
    folder.mkdir(parents=True, exist_ok=True)
    todo = [i for i in range(config.episodes // config.shard) if not shard_path(folder, i).exists()]
    tasks = (delayed(_write_shard)(config, folder, i) for i in todo)
    for _ in tqdm(Parallel(n_jobs=jobs, return_as="generator_unordered")(tasks), total=len(todo), unit="shard"):
        pass


def shard_path(folder: Path, index: int) -> Path:
    """Return where shard number `index` lies."""
    return folder / f"shard-{index:04d}.npz"


def _write_shard(config: CollectConfig, folder: Path, index: int) -> None:
    first = config.first_seed + index * config.shard
    episodes = [_episode(config, seed) for seed in range(first, first + config.shard)]
    arrays: dict[str, Any] = {name: np.stack([e[name] for e in episodes]) for name in episodes[0]}
    path = shard_path(folder, index)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    with partial.open("wb") as file:
        np.savez(file, **arrays)
    partial.replace(path)


class _Stage:
    """Simulator, renderer and inverse kinematics, made once for each worker process."""

    def __init__(self, robot: str) -> None:
        self.robot: RobotConfig = load_robot(robot)
        self.simulator = Simulator(self.robot, random_scene(0))
        self.renderer = SceneRenderer(self.robot)
        self.ik = ArmIk(arm_spec().compile(), self.robot)


@cache
def _stage(robot: str) -> _Stage:
    return _Stage(robot)


def _episode(config: CollectConfig, seed: int) -> dict[str, npt.NDArray[Any]]:
    """Run one demonstration: random start, two targets one after the other, pushed off its way now and then."""
    stage = _stage(config.robot)
    rng = np.random.default_rng([seed, 303])
    scene = random_scene(seed)
    plans = [way_to_touch(stage.ik, cube) for cube in scene.objects]
    start = _random_start(stage, plans, rng)
    stage.simulator.reset(scene, start)
    switch = int(rng.integers(config.rows // 3, config.rows))
    order = rng.permutation(len(plans))
    frame_rows = np.sort(rng.choice(config.rows, config.frames, replace=False))
    frame_rows[0] = 0
    rows: dict[str, list[npt.NDArray[Any]]] = {"q": [], "reference": [], "velocity": [], "images": []}
    reference, velocity = start.copy(), np.zeros_like(start)
    for row in range(config.rows):
        rows["q"].append(stage.simulator.q)
        rows["reference"].append(reference)
        rows["velocity"].append(velocity)
        if row in frame_rows:
            rows["images"].append(_pictures(stage, scene, config))
        plan = plans[order[0] if row < switch else order[1]]
        push = rng.normal(0.0, 0.5, start.shape) * (rng.random() < 0.15)
        for _ in range(ROW_TICKS):
            reference, velocity, _ = advance(reference, velocity, 0, plan)
            reference = np.clip(reference + push * TICK_S, stage.robot.lower, stage.robot.upper)
            stage.simulator.step(reference)
        velocity = velocity + push * (rng.random() < 0.5)
    return {
        **{name: np.stack(values) for name, values in rows.items()},
        "frame_rows": frame_rows,
        "goal": np.array([order[0]] * switch + [order[1]] * (config.rows - switch)),
        "hover": np.stack([plan.via[0] for plan in plans]),
        "touch": np.stack([plan.goal[0] for plan in plans]),
        "cubes": np.array([[c.x, c.y, 0.015] for c in scene.objects]),
        "colors": np.array([c.color for c in scene.objects], dtype="U16"),
        "seed": np.array(seed),
    }


def _pictures(stage: _Stage, scene: Scene, config: CollectConfig) -> npt.NDArray[np.uint8]:
    """Return what every camera sees, (cameras, height, width, 3)."""
    qpos = stage.simulator.qpos
    views = [stage.renderer.render(scene, qpos, name) for name in stage.robot.camera_names]
    return np.stack([resize(view, config.image_height, config.image_width) for view in views])


def _random_start(stage: _Stage, plans: Sequence[Plan], rng: np.random.Generator) -> FloatArray:
    """Draw a start: near home, near one of the cubes, or with the fingertip anywhere over the table."""
    kind = rng.random()
    if kind < 0.3:
        pose = stage.robot.home + rng.normal(0.0, 0.05, len(stage.robot.joints))
    elif kind < 0.6:
        plan = plans[int(rng.integers(len(plans)))]
        via, goal = plan.via[0], plan.goal[0]
        pose = via + rng.random() * (goal - via) + rng.normal(0.0, 0.02, len(stage.robot.joints))
    else:
        pose = _anywhere(stage, rng)
    pose[-1] = rng.normal(0.0, 0.03)
    return np.clip(pose, stage.robot.lower, stage.robot.upper)


def _anywhere(stage: _Stage, rng: np.random.Generator) -> FloatArray:
    while True:
        radius, angle = rng.uniform(0.15, 0.30), np.radians(rng.uniform(-60, 60))
        point = np.array([radius * np.cos(angle), radius * np.sin(angle), rng.uniform(0.05, 0.16)])
        try:
            pose = stage.ik.solve(point, stage.robot.home, tolerance_m=0.02)
        except InputError:
            continue
        pose[4] += rng.normal(0.0, 0.15)
        return pose
