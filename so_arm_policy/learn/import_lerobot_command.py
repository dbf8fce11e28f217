"""`so-arm import-lerobot`: a policy that LeRobot trained (ACT, Diffusion Policy, SmolVLA) to a bundle."""

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import onnxruntime as ort

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.learn.datasets.units import Units
from so_arm_policy.robot.description import load_robot

if TYPE_CHECKING:
    from so_arm_policy.learn.lerobot_policies.convert import Imported


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("checkpoint", type=Path, help="folder with config.json and model.safetensors")
    parser.add_argument("--out", type=Path, required=True, help="the bundle")
    parser.add_argument("--task", required=True, help="name of what the policy does, and of the bundle")
    parser.add_argument(
        "--instruction",
        action="append",
        metavar="TEXT",
        help="a sentence that it can be told, as its dataset says it; again for more (default: the task's name)",
    )
    parser.add_argument(
        "--camera",
        action="append",
        default=[],
        metavar="COLUMN=NAME",
        help="which camera of the robot gives a column, e.g. observation.images.front=overhead (default: of its name)",
    )
    parser.add_argument("--robot", default="so101", help="its description")
    parser.add_argument(
        "--units", choices=[units.value for units in Units], default=Units.DEGREES.value, help="of its state and action"
    )
    parser.add_argument("--joints", help="with commas, the order of its vectors (default: the robot's)")
    parser.add_argument("--fps", type=float, default=30.0, help="rows a second of the dataset it was trained on")
    parser.add_argument("--steps", type=int, help="denoising steps (default: as the checkpoint says)")
    parser.add_argument(
        "--infer-every", type=int, help="ticks between inferences (default: as LeRobot, or as this machine can)"
    )
    parser.add_argument("--vlm", type=Path, help="SmolVLA: folder of its language model (configuration and tokenizer)")


def run(args: argparse.Namespace) -> int:
    """Import, and print how far the bundle is from LeRobot's own output. Raises SoArmError."""
    from so_arm_policy.learn.lerobot_policies.convert import import_policy  # noqa: PLC0415 - needs torch
    from so_arm_policy.learn.lerobot_policies.order import Order  # noqa: PLC0415

    quiet()
    robot = load_robot(args.robot)
    order = Order(
        task=args.task,
        instructions=tuple(args.instruction or [args.task.replace("_", " ")]),
        cameras=_cameras(args.camera),
        units=Units(args.units),
        joints=tuple(args.joints.split(",")) if args.joints else None,
        fps=args.fps,
        steps=args.steps,
        infer_every=args.infer_every,
        vlm=args.vlm,
    )
    print(report(import_policy(args.checkpoint, args.out, robot, order), args.out, robot))
    return 0


def quiet() -> None:
    """Keep what exporter and onnxruntime say of their own optimisations to themselves."""
    ort.set_default_logger_severity(3)
    for name in ("onnx_ir", "onnxscript"):
        logging.getLogger(name).setLevel(logging.ERROR)


def report(imported: "Imported", folder: Path, robot: RobotConfig) -> str:
    """Return what was made, as text for people."""
    manifest, parity, pace = imported.manifest, imported.parity, imported.pace
    lines = [
        f"{manifest.id} in {folder}, from {manifest.training['imported']}",
        f"  {'':46s}{'size':>12s}  largest difference",
    ]
    for name, difference in sorted(manifest.training["parity_max_abs"].items()):
        size = (folder / name).stat().st_size / 2**20
        lines.append(f"  {name + ', onnxruntime against torch':46s}{size:8.1f} MiB  {difference:.1e}")
    whole = f"both, against LeRobot itself ({parity.draws} observations)"
    lines.append(f"  {whole:58s}  {parity.largest_rad:.1e} rad, of positions up to {parity.reach_rad:.2f} rad,")
    lines.append(f"  {'':58s}  which differ by up to {parity.spread_rad:.1e} rad from one observation to another")
    lines.append(
        f"  chunks of {manifest.horizon} rows, {manifest.dt_s * 1000:.1f} ms apart; System 1 takes up to"
        f" {pace.inference_ms:.1f} ms here and infers every {manifest.infer_every} ticks of 1/{CONTROL_HZ} s"
    )
    if not pace.fits:
        lines.append(f"  warning: a chunk lasts {pace.chunk} ticks and runs out before the next one: the arm will stop")
    size = manifest.image_height, manifest.image_width
    for camera in map(robot.camera, manifest.cameras):
        if (camera.height, camera.width) != size:
            lines.append(
                f"  note: {camera.name} of {robot.name} has {camera.width}x{camera.height} pixels, resized to"
                f" {size[1]}x{size[0]}, which the policy was trained with"
            )
    return "\n".join(lines)


def _cameras(given: list[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in given]
    if not all(key and camera for key, _, camera in pairs) or len({key for key, _, _ in pairs}) < len(pairs):
        raise ConfigError(f"import-lerobot: got cameras {given}, expected each column once, as COLUMN=NAME")
    return {key: camera for key, _, camera in pairs}
