"""`so-arm collect`: demonstrations of the scripted expert, as a LeRobot dataset."""

import argparse
from pathlib import Path

from so_arm_policy.learn.collect import CollectConfig, collect
from so_arm_policy.sim.tasks import TASKS, make_task


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("task", help=f"what to demonstrate: {', '.join(TASKS)}")
    parser.add_argument("--episodes", type=int, help="how many (default: as many as the task needs to be learnt)")
    parser.add_argument("--first-seed", type=int, help="first seed (default: one of the task's own)")
    parser.add_argument("--shard", type=int, default=50, help="episodes in a file (default %(default)s)")
    parser.add_argument("--out", type=Path, help="folder of the dataset (default data/TASK)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Collect; a second run goes on where a killed one stopped."""
    task = make_task(args.task)
    out = args.out or Path("data") / task.name
    config = CollectConfig.of(task.name, args.episodes, first_seed=args.first_seed, shard=args.shard)
    collect(config, out, args.jobs)
    print(f"{config.episodes} episodes of {task.name} in {out}")
    return 0
