"""`so-arm collect`: demonstrations of the scripted expert, or a policy at work, as a LeRobot dataset."""

import argparse
from pathlib import Path

from so_arm_policy.learn.demonstrations.collect import CollectConfig, collect
from so_arm_policy.policy.manifest import read_manifest
from so_arm_policy.sim.tasks import TASKS, make_task


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("task", help=f"what to demonstrate: {', '.join(TASKS)}")
    parser.add_argument("--episodes", type=int, help="how many (default: as many as the task needs to be learnt)")
    parser.add_argument("--first-seed", type=int, help="first seed (default: one of the task's own)")
    parser.add_argument("--shard", type=int, default=50, help="episodes in a file (default %(default)s)")
    parser.add_argument(
        "--policy",
        default="",
        metavar="BUNDLE",
        help="folder of a bundle that acts instead of the expert: scenes for --scenes of so-arm train",
    )
    parser.add_argument("--out", type=Path, help="folder of the dataset (default data/TASK, or data/TASK_FAMILY)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Collect; a second run goes on where a killed one stopped."""
    task = make_task(args.task)
    family = f"_{read_manifest(Path(args.policy)).family}" if args.policy else ""
    out = args.out or Path("data") / f"{task.name}{family}"
    more = {"first_seed": args.first_seed, "shard": args.shard, "policy": args.policy}
    config = CollectConfig.of(task.name, args.episodes, **more)
    collect(config, out, args.jobs)
    print(f"{config.episodes} episodes of {task.name} in {out}")
    return 0
