"""`so-arm imitate`: LeRobot datasets, recorded on an arm or anywhere, to a bundle."""

import argparse
import logging
from pathlib import Path
from typing import Any

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.learn.datasets.reader import read_dataset
from so_arm_policy.learn.datasets.units import Units
from so_arm_policy.learn.demonstrations.recordings import Recordings, open_recorded
from so_arm_policy.learn.lessons.lessons import RecordedLessons
from so_arm_policy.learn.recipe import Training
from so_arm_policy.learn.train_command import begun, config_of, configure_training, export, training_flags
from so_arm_policy.robot.description import load_robot


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="LeRobot dataset v3 of the robot")
    parser.add_argument(
        "--task",
        required=True,
        help="name of what they show, and of the bundle; that of a task of the simulator lets so-arm eval try it",
    )
    parser.add_argument("--robot", default="so101", help="its description (default %(default)s)")
    parser.add_argument(
        "--cameras", help="with commas, which recorded cameras are the robot's, in its order (default: its own names)"
    )
    parser.add_argument(
        "--units",
        choices=[units.value for units in Units],
        help="of state and action (default: as the dataset says, else degrees)",
    )
    configure_training(parser)
    parser.set_defaults(watch_every=0)  # most recordings cannot be tried in the simulator


def run(args: argparse.Namespace) -> int:
    """Open the recordings, train on them, export."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("onnxscript").setLevel(logging.WARNING)
    export(prepare(args), args.out)
    return 0


def prepare(args: argparse.Namespace) -> Training:
    """Return the training that the arguments ask for. Raises ConfigError, and InputError for unusable recordings."""
    robot = load_robot(args.robot)
    config = config_of(args, robot)
    cameras = tuple(args.cameras.split(",")) if args.cameras else robot.camera_names
    if len(cameras) != len(robot.camera_names) or not args.task.strip():
        got = f"task {args.task!r}, cameras {list(cameras)}"
        raise ConfigError(f"imitate: got {got}, expected a name, and a camera for each of {list(robot.camera_names)}")
    run = args.run or Path("runs") / f"{args.task}_{args.seed}"
    units = Units(args.units) if args.units else None
    datasets = [read_dataset(folder, robot, units) for folder in args.folders]
    size = config.encoder.image_height, config.encoder.image_width
    run.mkdir(parents=True, exist_ok=True)
    sources = [open_recorded(dataset, cameras, size, run) for dataset in datasets]
    return Training(
        lessons=RecordedLessons(Recordings(sources), robot, args.task),
        name=args.task,
        robot=robot,
        config=config,
        run=run,
        origin=origin_of(args, {str(dataset.folder): len(dataset) for dataset in datasets}),
        scene_from=args.scene_from,
        action_from=args.action_from,
    )


def origin_of(args: argparse.Namespace, episodes: dict[str, int]) -> dict[str, Any]:
    """Return what a manifest says of where it came from: command, recordings, other runs."""
    given = {"--task": args.task, "--robot": args.robot, "--cameras": args.cameras, "--units": args.units}
    flags = "".join(f" {flag} {value}" for flag, value in given.items() if value is not None)
    folders = " ".join(str(folder) for folder in args.folders)
    return {"command": f"so-arm imitate {folders}{flags}{training_flags(args)}", "episodes": episodes} | begun(args)
