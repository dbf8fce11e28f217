"""`so-arm convert`: bags to a LeRobot dataset, and a dataset to bags."""

import argparse
from collections import Counter
from pathlib import Path

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.learn.conversion.mapping import load_mapping
from so_arm_policy.learn.conversion.to_bag import convert_dataset
from so_arm_policy.learn.conversion.to_dataset import BagPlan, bags_in, convert_bags, counted


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "sources", nargs="+", type=Path, metavar="SOURCE", help="bags, or folders of bags; or one LeRobot dataset v3"
    )
    parser.add_argument("--to", required=True, choices=("lerobot", "bag"), help="what to make of them")
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="folder to make, new")
    parser.add_argument(
        "--mapping", default="so_arm", help="names and units: a shipped file of config/conversion, or a path"
    )
    parser.add_argument("--instruction", default="", help="what bags without an instruction show")


def run(args: argparse.Namespace) -> int:
    """Convert, and say what became of everything."""
    mapping = load_mapping(args.mapping)
    if args.to == "lerobot":
        bags = bags_in(args.sources)
        plans = convert_bags(bags, mapping, args.out, args.instruction)
        for plan in plans:
            print("\n".join(_said(plan)))
        frames = sum(plan.tally.kept for plan in plans)
        episodes = sum(len(plan.pieces) for plan in plans)
        cameras = ", ".join(f"{name} {width}x{height}" for name, (height, width) in plans[0].hearing.sizes.items())
        print(f"written: {args.out}: {episodes} episodes, {frames} frames, {mapping.fps} a second; {cameras}")
        return 0
    if len(args.sources) != 1 or args.instruction:
        raise ConfigError("--to bag: got several sources or --instruction, expected one dataset, which has its tasks")
    bags_made, left_out = convert_dataset(args.sources[0], mapping, args.out)
    if left_out:
        print(f"cameras left out, which the mapping does not name: {', '.join(left_out)}")
    print(f"written: {args.out}: {len(bags_made)} bags, {sum(bag.frames for bag in bags_made)} frames")
    return 0


def _said(plan: BagPlan) -> list[str]:
    tasks = Counter(piece.task for piece in plan.pieces)
    lines = [f"{plan.path}: {len(plan.pieces)} episodes, {plan.tally.kept} frames"]
    lines += [f"  {number} x {task!r}" for task, number in tasks.items()]
    named = {
        "frames refused": plan.tally.refused,
        "episodes ended": plan.tally.ends,
        "jumps": plan.hearing.jumps,
        "messages passed over": plan.skipped,
        "damage": plan.damage,
    }
    return lines + [f"  {name}: {counted(+counts)}" for name, counts in named.items() if +counts]
