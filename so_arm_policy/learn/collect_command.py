"""`so-arm collect`: demonstrations of the scripted expert."""

import argparse
from pathlib import Path

from so_arm_policy.learn.collect import CollectConfig, collect
from so_arm_policy.sim.tasks import make_task


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    default = CollectConfig()
    parser.add_argument("task", help="what to demonstrate: reach")
    parser.add_argument("--episodes", type=int, default=default.episodes, help="how many (default %(default)s)")
    parser.add_argument("--first-seed", type=int, default=default.first_seed, help="first seed (default %(default)s)")
    parser.add_argument("--out", type=Path, help="folder for the shards (default data/TASK)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Collect; a second run goes on where a killed one stopped."""
    task = make_task(args.task)
    out = args.out or Path("data") / task.name
    config = CollectConfig(episodes=args.episodes, first_seed=args.first_seed)
    collect(config, out, args.jobs)
    print(f"{config.episodes} episodes of {task.name} in {out}")
    return 0
