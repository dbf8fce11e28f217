"""`so-arm replay`: publish a bag at its recorded times, by a process of its own."""

import argparse
import dataclasses
from pathlib import Path

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.ros.node_spec import NodeSpec
from so_arm_policy.ros.replay_node import ReplayConfig
from so_arm_policy.ros.up_command import run_specs

OPTIONS = [f for f in dataclasses.fields(ReplayConfig) if f.name not in ("bag", "robot")]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command; the options have the names of the launch file's arguments."""
    parser.add_argument("bag", help=dataclasses.fields(ReplayConfig)[1].metadata["description"])
    for option in OPTIONS:
        name, text = f"--{option.name.replace('_', '-')}", option.metadata["description"]
        if isinstance(option.default, bool):
            parser.add_argument(name, action="store_true", help=text)
        else:
            choices = option.metadata["choices"] or None
            parser.add_argument(name, type=type(option.default), default=option.default, choices=choices, help=text)
    parser.add_argument("--duration", type=float, default=0.0, help="stop after so many seconds; 0: the whole bag")


def run(args: argparse.Namespace) -> int:
    """Replay until the end of the bag or a signal."""
    if not Path(args.bag).expanduser().exists():
        raise ConfigError(f"bag: got {args.bag!r}, which is not there, expected a bag")
    spec = replay(args.bag, {f.name: getattr(args, f.name) for f in OPTIONS})
    return run_specs([spec], args.duration, restart=False, may_end=True)


def replay(bag: str, given: dict[str, str | int | float | bool], log_level: str = "info") -> NodeSpec:
    """Return the node that plays `bag`; `given` are more of its parameters."""
    path = str(Path(bag).expanduser().absolute())
    return NodeSpec(name="replay", executable="replay", parameters={"bag": path, **given}, log_level=log_level)
