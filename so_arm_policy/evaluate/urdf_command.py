"""`so-arm urdf`: the robot as URDF, or one arm as a xacro macro."""

import argparse
import sys
from pathlib import Path

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.robot.description import load_robot
from so_arm_policy.sim.urdf import mesh_folder, urdf, xacro_macro

HERE = "here"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "description", nargs="?", default="so101", help="robot description: a shipped name or the path of a YAML file"
    )
    parser.add_argument(
        "--meshes",
        default=HERE,
        metavar="PREFIX",
        help="what addresses of meshes begin with, e.g. package://my_robot/meshes; none: boxes; by default files here",
    )
    parser.add_argument("--xacro", action="store_true", help="write the macro of one arm instead (urdf/so101.xacro)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where to; by default to standard output")


def run(args: argparse.Namespace) -> int:
    """Write it. Raises ConfigError."""
    robot = load_robot(args.description)
    meshes = {HERE: mesh_folder(), "none": ""}.get(args.meshes, args.meshes)
    text = xacro_macro(robot) if args.xacro else urdf(robot, meshes)
    if args.out is None:
        sys.stdout.write(text)
        return 0
    try:
        args.out.write_text(text)
    except OSError as error:
        raise ConfigError(f"--out: got {str(args.out)!r}, expected a file that can be written ({error})") from error
    print(f"wrote {args.out}")
    return 0
