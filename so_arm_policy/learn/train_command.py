"""`so-arm train`: demonstrations to a bundle."""

import argparse
import dataclasses
import logging
import subprocess
from pathlib import Path

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.learn.collect import ROW_TICKS, CollectConfig, collect, shard_path
from so_arm_policy.learn.demonstrations import Demonstrations
from so_arm_policy.learn.export import Recipe, export_bundle
from so_arm_policy.learn.train import TrainConfig, train
from so_arm_policy.policy.tokenizer import Tokenizer, train_tokenizer, words_of
from so_arm_policy.robot.description import load_robot
from so_arm_policy.sim.tasks import make_task

FAMILIES = ("flow",)


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
    parser.add_argument("--jobs", type=int, default=2, help="processes that collect (default %(default)s)")
    parser.add_argument("--run", type=Path, help="folder of checkpoints (default runs/TASK_FAMILY_SEED)")
    parser.add_argument("--out", type=Path, help="the bundle (default out/bundles/TASK_FAMILY)")


def run(args: argparse.Namespace) -> int:
    """Collect what is missing, train, export."""
    if args.family not in FAMILIES:
        raise ConfigError(f"family: got {args.family!r}, expected one of {list(FAMILIES)}")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("onnxscript").setLevel(logging.WARNING)
    task = make_task(args.task)
    name = f"{task.name}_{args.family}"
    folder = args.run or Path("runs") / f"{name}_{args.seed}"
    folder.mkdir(parents=True, exist_ok=True)
    data_folder = args.data or Path("data") / task.name
    collecting = CollectConfig(episodes=args.episodes)
    collect(collecting, data_folder, args.jobs)
    shards = [shard_path(data_folder, i) for i in range(collecting.episodes // collecting.shard)]
    robot = load_robot(collecting.robot)
    train_tokenizer(task.corpus(), folder / "tokenizer.json")
    default = TrainConfig()
    tokenizer = Tokenizer(folder / "tokenizer.json", words_of(task.corpus()), default.encoder.max_tokens)
    config = dataclasses.replace(
        default,
        seed=args.seed,
        scene=dataclasses.replace(default.scene, steps=args.scene_steps, seed=args.seed),
        action=dataclasses.replace(default.action, steps=args.steps, seed=args.seed),
        encoder=dataclasses.replace(default.encoder, vocabulary=tokenizer.vocabulary),
    )
    trained = train(config, Demonstrations.load(shards), robot, tokenizer, folder)
    recipe = Recipe(
        task=task.name,
        corpus=task.corpus(),
        dt_s=ROW_TICKS / CONTROL_HZ,
        training={
            "command": f"so-arm train {task.name} --family {args.family} --seed {args.seed}"
            f" --episodes {args.episodes} --scene-steps {args.scene_steps} --steps {args.steps}",
            "episodes": collecting.episodes,
            "first_seed": collecting.first_seed,
            "commit": _commit(),
            **trained.summary,
        },
    )
    out = args.out or Path("out") / "bundles" / name
    manifest = export_bundle(trained.encoder, trained.flow, robot, recipe, folder / "tokenizer.json", out)
    print(f"{manifest.id} in {out}")
    return 0


def _commit() -> str:
    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"
