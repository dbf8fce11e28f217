"""`so-arm rephrase`: teach bundles more phrasings, without touching how they move."""

import argparse
import logging
from pathlib import Path

from so_arm_policy.core.paths import find_shipped
from so_arm_policy.learn.datasets.reader import read_dataset
from so_arm_policy.learn.demonstrations.collect import collected, training_task
from so_arm_policy.learn.demonstrations.labelled import Demonstrations, open_source
from so_arm_policy.learn.loop import LoopConfig
from so_arm_policy.learn.rephrase import Rephrasing
from so_arm_policy.learn.run_notes import this_commit
from so_arm_policy.learn.scene_encoder import SceneEncoderConfig
from so_arm_policy.policy.bundle import load_bundle
from so_arm_policy.robot.description import load_robot


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("bundles", nargs="+", help="bundles that share one System 2: shipped names or folders")
    parser.add_argument(
        "--data", type=Path, action="append", required=True, help="dataset of `so-arm collect`; any number"
    )
    parser.add_argument("--steps", type=int, default=2000, help="batches")
    parser.add_argument("--rate", type=float, default=1e-3, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=0, help="of batches")
    parser.add_argument("--run", type=Path, default=Path("runs/rephrased"), help="folder of the checkpoint")
    parser.add_argument(
        "--out", type=Path, default=Path("out/bundles"), help="folder that the bundles are written into"
    )


def run(args: argparse.Namespace) -> int:
    """Train, write the bundles, and say what they are. Raises SoArmError."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("onnxscript").setLevel(logging.WARNING)
    bundles = [load_bundle(find_shipped("bundles", name)) for name in args.bundles]
    first = bundles[0].manifest
    robot, size = load_robot(first.robot), (first.image_height, first.image_width)
    sources = [open_source(training_task(collected(f)[0]), read_dataset(f, robot), size) for f in args.data]
    work = Rephrasing(
        tasks=tuple(training_task(name) for name in dict.fromkeys(t for b in bundles for t in b.manifest.tasks)),
        loop=LoopConfig(steps=args.steps, rate=args.rate, seed=args.seed),
        encoder=SceneEncoderConfig(joints=len(robot.joints), cameras=len(robot.cameras)),
        run=args.run,
        origin={"command": command_of(args), "commit": this_commit()},
    )
    for manifest in work.rephrase(bundles, Demonstrations(sources), args.out):
        print(f"{manifest.id} in {args.out}")
    return 0


def command_of(args: argparse.Namespace) -> str:
    """Return the command line that makes the same bundles again."""
    data = "".join(f" --data {folder}" for folder in args.data)
    return f"so-arm rephrase {' '.join(args.bundles)}{data} --steps {args.steps} --rate {args.rate} --seed {args.seed}"
