"""`so-arm isaac`: write what the script for Isaac Sim reads, a folder with the robot, the scene and the ROS 2 graph."""

import argparse
import json
from pathlib import Path

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.mapping import to_mapping
from so_arm_policy.robot.description import load_robot
from so_arm_policy.sim.isaac.scene import RATE_HZ, SCENE, URDF, isaac_scene
from so_arm_policy.sim.tasks import make_task
from so_arm_policy.sim.urdf import mesh_folder, urdf


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("folder", type=Path, help="where to; made where it is not there")
    parser.add_argument("--task", default="reach", help="task whose scene is laid out, and whose robot is taken")
    parser.add_argument("--seed", type=int, default=0, help="seed of the scene")
    parser.add_argument("--description", default="", help="robot, if not the task's: a shipped name or a YAML file")
    parser.add_argument("--rate", type=int, default=RATE_HZ, help="frames a second: physics, clock, joint states")
    parser.add_argument("--namespace", default="", help="put before all topics but /clock")


def run(args: argparse.Namespace) -> int:
    """Write the folder. Raises ConfigError."""
    if args.seed < 0:
        raise ConfigError(f"--seed: got {args.seed}, expected 0 or more")
    task = make_task(args.task)
    robot = load_robot(args.description or task.robot)
    scene = isaac_scene(robot, task.sample(args.seed).scene, args.rate, args.namespace)
    try:
        args.folder.mkdir(parents=True, exist_ok=True)
        (args.folder / URDF).write_text(urdf(robot, mesh_folder().removeprefix("file://")))
        (args.folder / SCENE).write_text(json.dumps(to_mapping(scene), indent=1) + "\n")
    except OSError as error:
        raise ConfigError(f"got folder {str(args.folder)!r}, expected one that can be written ({error})") from error
    script = Path(__file__).parents[1] / "sim" / "isaac" / "standalone.py"
    print(f"wrote {args.folder}\nnow, with Isaac Sim's own Python: ./python.sh {script} {args.folder.resolve()}")
    return 0
