"""`so-arm train`: demonstrations to a bundle."""

import argparse
import dataclasses
import logging
from pathlib import Path
from typing import Any

from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.core.overrides import overridden
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.learn.datasets.reader import read_dataset
from so_arm_policy.learn.demonstrations.collect import CollectConfig, collect, training_task, watched
from so_arm_policy.learn.demonstrations.labelled import Demonstrations, Source, open_source
from so_arm_policy.learn.families import FAMILIES, family_config
from so_arm_policy.learn.lessons.lessons import TaskLessons
from so_arm_policy.learn.recipe import Training
from so_arm_policy.learn.run_notes import history
from so_arm_policy.learn.scene_encoder import SceneEncoderConfig
from so_arm_policy.learn.train import TrainConfig
from so_arm_policy.policy.manifest import FILE_NAME as MANIFEST
from so_arm_policy.robot.description import load_robot
from so_arm_policy.sim.tasks import TASKS
from so_arm_policy.sim.tasks.task import Task


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("tasks", help=f"what to learn, with commas: some of {', '.join(TASKS)}")
    configure_training(parser)
    parser.add_argument("--episodes", type=int, help="demonstrations of each task (default: as many as each needs)")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of their datasets, one for each task")
    parser.add_argument(
        "--scenes",
        type=Path,
        action="append",
        default=[],
        metavar="FOLDER",
        help="dataset of `so-arm collect --policy`, which System 2 learns from too; any number of them",
    )
    parser.add_argument(
        "--watch-every", type=int, default=0, help="batches between closed-loop evaluations, 0 for none"
    )
    parser.add_argument("--watch-episodes", type=int, default=20, help="tries in each of them (default %(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="processes that collect and evaluate (default %(default)s)")
    parser.add_argument("--name", help="of the bundle (default: the task, or the robot where there are more)")


def configure_training(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of any training."""
    default = TrainConfig()
    parser.add_argument("--family", default="flow", help=f"kind of policy: {', '.join(FAMILIES)}")
    parser.add_argument("--seed", type=int, default=0, help="of weights and batches (default %(default)s)")
    parser.add_argument(
        "--scene-steps",
        type=int,
        default=default.scene.steps,
        help="batches for System 2; 0 to keep that of --scene-from",
    )
    for system, file in ((2, "scene"), (1, "action")):
        text = f"{file}.pt of a run, or folder of a bundle, that System {system} begins from"
        parser.add_argument(f"--{file}-from", type=Path, metavar="PATH", help=text)
    parser.add_argument("--steps", type=int, default=default.action.steps, help="batches for System 1")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="e.g. expert.width=256")
    parser.add_argument("--run", type=Path, help="folder of checkpoints (default runs/NAME_SEED)")
    parser.add_argument("--out", type=Path, help="the bundle (default out/bundles/NAME_FAMILY)")


def run(args: argparse.Namespace) -> int:
    """Collect what is missing, train, export."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("onnxscript").setLevel(logging.WARNING)
    export(prepare(args), args.out)
    return 0


def export(training: Training, out: Path | None) -> None:
    """Train, export to `out`, by default a folder of the training's name, and say so."""
    out = out or Path("out") / "bundles" / f"{training.name}_{training.family}"
    print(f"{training.bundle(out).id} in {out}")


def prepare(args: argparse.Namespace) -> Training:
    """Return the training that the arguments ask for; demonstrations that were missing have been collected."""
    tasks = tasks_of(args.tasks)
    robot = load_robot(tasks[0].robot)
    config = config_of(args, robot)
    name = args.name or (tasks[0].name if len(tasks) == 1 else robot.name)
    collecting = [CollectConfig.of(task.name, args.episodes) for task in tasks]
    origin = origin_of(args, collecting)
    size = config.encoder.image_height, config.encoder.image_width
    shown = demonstrations(collecting, args.data, robot, size, args.jobs)
    scenes = [open_source(training_task(watched(f)[0]), read_dataset(f, robot), size) for f in args.scenes]
    return Training(
        lessons=TaskLessons(Demonstrations([*shown, *scenes]), tasks),
        name=name,
        robot=robot,
        config=config,
        run=args.run or Path("runs") / f"{name}_{args.seed}",
        origin=origin,
        jobs=args.jobs,
        watch_episodes=args.watch_episodes,
        scene_from=args.scene_from,
        action_from=args.action_from,
    )


def tasks_of(text: str) -> tuple[Task, ...]:
    """Return the tasks named in `text`, with commas. Raises ConfigError for unknown ones and those of two robots."""
    tasks = tuple(training_task(name.strip()) for name in text.split(","))
    if len({task.robot for task in tasks}) > 1 or len({task.name for task in tasks}) < len(tasks):
        raise ConfigError(f"tasks: got {text!r}, expected different ones, all for one robot")
    return tasks


def demonstrations(
    collecting: list[CollectConfig], folder: Path, robot: RobotConfig, size: tuple[int, int], jobs: int
) -> list[Source]:
    """Collect what `folder` lacks and open it. size: height and width of pictures."""
    sources = []
    for each in collecting:
        collect(each, folder / each.task, jobs)
        sources.append(open_source(training_task(each.task), read_dataset(folder / each.task, robot), size))
    return sources


def origin_of(args: argparse.Namespace, collecting: list[CollectConfig]) -> dict[str, Any]:
    """Return what a manifest says of where it came from: command, demonstrations, policies watched, other runs."""
    policies = {str(folder): watched(folder)[1] for folder in args.scenes}
    episodes = {each.task: each.episodes for each in collecting}
    return (
        {"command": command_of(args), "episodes": episodes} | ({"scenes": policies} if policies else {}) | begun(args)
    )


def begun(args: argparse.Namespace) -> dict[str, Any]:
    """Return what a manifest says of the runs that the systems begin from."""
    files = {"scene_from": args.scene_from, "action_from": args.action_from}
    found = {name: history(file) for name, file in files.items() if file is not None}
    return {name: facts for name, facts in found.items() if facts}


def config_of(args: argparse.Namespace, robot: RobotConfig) -> TrainConfig:
    """Return the config that the arguments ask for, for the joints and cameras of `robot`.

    Raises ConfigError, and InputError for files that are not there, before any long work.
    """
    joints, cameras = len(robot.joints), len(robot.cameras)
    default = TrainConfig(
        encoder=SceneEncoderConfig(joints=joints, cameras=cameras), expert=family_config(args.family)(joints=joints)
    )
    config = dataclasses.replace(
        default,
        seed=args.seed,
        scene=dataclasses.replace(default.scene, steps=args.scene_steps, seed=args.seed),
        action=dataclasses.replace(
            default.action,
            steps=args.steps,
            seed=args.seed,
            watch_every=args.watch_every,
            checkpoint_every=max(1, min(default.action.checkpoint_every, args.steps // 4)),
        ),
    )
    config = overridden(config, args.set)
    config.encoder.check_pretrained()
    for flag, file in {"scene": args.scene_from, "action": args.action_from}.items():
        if file is not None and not (file.is_file() or (file / MANIFEST).is_file()):
            raise InputError(f"--{flag}-from: got {file}, expected the {flag}.pt of another run, or a bundle")
    return config


def command_of(args: argparse.Namespace) -> str:
    """Return the command line that makes the same bundle again."""
    given = {"--watch-every": args.watch_every, "--episodes": args.episodes, "--name": args.name}
    more = "".join(f" {flag} {value}" for flag, value in given.items() if value is not None)
    more += "".join(f" --scenes {folder}" for folder in args.scenes)
    return f"so-arm train {args.tasks}{more}{training_flags(args)}"


def training_flags(args: argparse.Namespace) -> str:
    """Return the part of a command line that any training has."""
    flags = f" --family {args.family} --seed {args.seed} --scene-steps {args.scene_steps} --steps {args.steps}"
    files = {"--scene-from": args.scene_from, "--action-from": args.action_from}
    flags += "".join(f" {flag} {file}" for flag, file in files.items() if file is not None)
    return flags + "".join(f" --set {change}" for change in args.set)
