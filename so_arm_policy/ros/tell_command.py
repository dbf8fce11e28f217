"""`so-arm tell`: give a running stack an instruction."""

import argparse

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.ros.operator import operator, tell


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("instruction", help='what to do, e.g. "touch the red cube"')
    parser.add_argument("--namespace", default="", help="namespace of the stack")
    parser.add_argument("--timeout", type=float, default=5.0, help="seconds to wait for listeners")


def run(args: argparse.Namespace) -> int:
    """Publish the instruction once."""
    if not args.instruction.strip():
        raise ConfigError(f"instruction: got {args.instruction!r}, expected words")
    with operator(args.namespace) as node:
        print(f"heard by {tell(node, args.instruction, args.timeout)} nodes")
    return 0
