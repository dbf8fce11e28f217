"""`so-arm record`: a running stack to a bag, by a process of its own."""

import argparse
from pathlib import Path

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.evaluate.bags.images import CODECS
from so_arm_policy.ros.bag_folders import new_bag
from so_arm_policy.ros.stack import recorder
from so_arm_policy.ros.stack_options import StackOptions
from so_arm_policy.ros.up_command import run_specs


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("bag", nargs="?", default="", help="folder of the bag, new (default: bag_DATE in ~/.ros)")
    parser.add_argument("--topics", default="", help="only these, joined by commas, e.g. joint_states,safety/status")
    parser.add_argument("--images", choices=CODECS, default="png", help="png loses nothing; jpeg for large pictures")
    parser.add_argument("--namespace", default="", help="namespace of the stack")
    parser.add_argument("--description", default="so101", help="robot description, which the bag names")
    parser.add_argument("--use-sim-time", action="store_true", help="stamp with the time on /clock")
    parser.add_argument("--least-free-mib", type=int, default=200, help="stop when the disk has less")
    parser.add_argument("--duration", type=float, default=0.0, help="stop after so many seconds; 0: run until Ctrl-C")


def run(args: argparse.Namespace) -> int:
    """Record until a signal, the end of the duration, or a full disk (then exit code 2)."""
    if args.bag and Path(args.bag).exists():
        raise ConfigError(f"bag: got {args.bag!r}, which exists, expected a new folder")
    bag = new_bag(args.bag)
    options = StackOptions(
        bag=str(bag.absolute()),
        namespace=args.namespace,
        description=args.description,
        use_sim_time=args.use_sim_time,
    )
    given = {"topics": args.topics, "images": args.images, "least_free_mib": args.least_free_mib, "stay": False}
    return run_specs([recorder(options, **given)], args.duration, restart=False)
