"""`so-arm train`: demonstrations to a bundle."""

import argparse
import dataclasses
import logging
from pathlib import Path

from so_arm_policy.core.overrides import overridden
from so_arm_policy.learn.collect import CollectConfig, collect, shard_path
from so_arm_policy.learn.demonstrations import Demonstrations
from so_arm_policy.learn.families import FAMILIES, family_config
from so_arm_policy.learn.recipe import Training
from so_arm_policy.learn.train import TrainConfig
from so_arm_policy.robot.description import load_robot
from so_arm_policy.sim.tasks import make_task


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    default = TrainConfig()
    parser.add_argument("task", help="what to learn: reach")
    parser.add_argument("--family", default="flow", help=f"kind of policy: {', '.join(FAMILIES)}")
    parser.add_argument("--seed", type=int, default=0, help="of weights and batches (default %(default)s)")
    parser.add_argument("--episodes", type=int, default=CollectConfig().episodes, help="demonstrations to use")
    parser.add_argument("--data", type=Path, help="their folder (default data/TASK); what is missing is collected")
    parser.add_argument("--scene-steps", type=int, default=default.scene.steps, help="batches for System 2")
    parser.add_argument("--steps", type=int, default=default.action.steps, help="batches for System 1")
    parser.add_argument(
        "--watch-every", type=int, default=0, help="batches between closed-loop evaluations, 0 for none"
    )
    parser.add_argument("--watch-episodes", type=int, default=20, help="tries in each of them (default %(default)s)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="e.g. expert.width=256")
    parser.add_argument("--jobs", type=int, default=2, help="processes that collect and evaluate (default %(default)s)")
    parser.add_argument("--run", type=Path, help="folder of checkpoints (default runs/TASK_SEED)")
    parser.add_argument("--out", type=Path, help="the bundle (default out/bundles/TASK_FAMILY)")


def run(args: argparse.Namespace) -> int:
    """Collect what is missing, train, export."""
    config = config_of(args)
    task = make_task(args.task)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("onnxscript").setLevel(logging.WARNING)
    collecting = CollectConfig(episodes=args.episodes)
    folder = args.data or Path("data") / task.name
    collect(collecting, folder, args.jobs)
    shards = [shard_path(folder, i) for i in range(collecting.episodes // collecting.shard)]
    training = Training(
        task=task,
        robot=load_robot(collecting.robot),
        config=config,
        run=args.run or Path("runs") / f"{task.name}_{args.seed}",
        origin={"command": command_of(args), "episodes": args.episodes, "first_seed": collecting.first_seed},
        jobs=args.jobs,
        watch_episodes=args.watch_episodes,
    )
    out = args.out or Path("out") / "bundles" / f"{task.name}_{args.family}"
    manifest = training.bundle(Demonstrations.load(shards), out)
    print(f"{manifest.id} in {out}")
    return 0


def config_of(args: argparse.Namespace) -> TrainConfig:
    """Return the config that the arguments ask for. Raises ConfigError."""
    default = TrainConfig(expert=family_config(args.family)())
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
    return overridden(config, args.set)


def command_of(args: argparse.Namespace) -> str:
    """Return the command line that makes the same bundle again."""
    changes = "".join(f" --set {change}" for change in args.set)
    return (
        f"so-arm train {args.task} --family {args.family} --seed {args.seed} --episodes {args.episodes}"
        f" --scene-steps {args.scene_steps} --steps {args.steps} --watch-every {args.watch_every}{changes}"
    )
