"""`so-arm calibrate-camera`: a camera's lens, and where on the hand it sits, from pictures of a printed board."""

import argparse
import math
import stat
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np

from so_arm_policy.control.charuco.board import CharucoBoard
from so_arm_policy.control.charuco.hand_eye import HandEye, hand_eye
from so_arm_policy.control.charuco.lens import LensFit, fit_lens
from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.core.robot import CameraConfig
from so_arm_policy.evaluate.board_print import write_board
from so_arm_policy.evaluate.board_views import Gathered, camera_pictures, of_folder, of_stream, video_pictures
from so_arm_policy.evaluate.hand_views import arm_of, hand_views, read_joints
from so_arm_policy.robot.camera.calibration_file import load_intrinsics, save_intrinsics
from so_arm_policy.robot.camera.options import CaptureOptions
from so_arm_policy.robot.camera.source import complete
from so_arm_policy.robot.description import load_robot

DEFAULT = CharucoBoard()


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "source", nargs="?", help="camera (number or device), folder of pictures, or video of the board"
    )
    parser.add_argument("--board", type=Path, metavar="FILE", help="write the board to print, .pdf or .png")
    parser.add_argument("--columns", type=int, default=DEFAULT.columns, help="squares of the board across")
    parser.add_argument("--rows", type=int, default=DEFAULT.rows, help="squares of the board down")
    parser.add_argument("--square-mm", type=float, default=DEFAULT.square_mm, help="edge of a square, as measured")
    parser.add_argument("--marker-mm", type=float, default=DEFAULT.marker_mm, help="edge of a tag's black square")
    parser.add_argument("--family", default=DEFAULT.family, help="of the tags")
    parser.add_argument("--description", default="so101", help="robot whose camera it is")
    parser.add_argument("--camera", default="overhead", help="its name there")
    parser.add_argument("--out", type=Path, metavar="FILE", help="camera_info YAML to write")
    parser.add_argument("--force", action="store_true", help="write over a file that is there")
    parser.add_argument("--size", help="of a camera's pictures, e.g. 1280x720; by default 640x480")
    parser.add_argument("--pixel-format", default="MJPG", help="how a camera sends pictures")
    parser.add_argument("--focus", type=int, default=-1, help="fixed focus of a camera; -1: as it is")
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="keep the pictures that were used, to use them again"
    )
    parser.add_argument(
        "--joints",
        type=Path,
        metavar="FILE",
        help="CSV: picture, joints in rad; finds where the camera sits on the hand",
    )
    parser.add_argument("--lens", type=Path, metavar="FILE", help="with --joints: camera_info YAML of the camera")


def run(args: argparse.Namespace) -> int:
    """Write the board, find the lens, or find the camera on the hand. Raises SoArmError."""
    board = CharucoBoard(
        columns=args.columns,
        rows=args.rows,
        square_mm=args.square_mm,
        marker_mm=args.marker_mm,
        family=args.family,
    )
    if args.board is None and args.source is None:
        raise ConfigError("calibrate-camera: got neither a source nor --board, expected one")
    if args.board is not None:
        width, height = write_board(args.board, board)
        print(f"{args.board}: {width:g} x {height:g} mm; print it at 100 % and measure a square")
    if args.source is None:
        return 0
    robot = load_robot(args.description)
    camera = robot.camera(args.camera)
    if args.joints is not None:
        if args.lens is None:
            raise ConfigError("--joints: got no --lens, expected the camera_info YAML that this command wrote before")
        joints, arm, lens = read_joints(args.joints, robot), arm_of(robot, camera.name), load_intrinsics(args.lens)
        if not Path(args.source).is_dir():
            raise ConfigError(f"--joints: got source {args.source!r}, expected the folder of the pictures it names")
        gathered = _gathered(args, board, camera)
        print(hand_report(hand_eye(hand_views(gathered.views, joints, robot, arm), lens), len(gathered.views)))
        return 0
    _check_out(args)
    gathered = _gathered(args, board, camera)
    _keep(args.keep, gathered)
    fit = fit_lens(gathered.views)
    print(lens_report(fit, camera))
    now = datetime.now(UTC).date().isoformat()
    notes = [f"so-arm calibrate-camera, {now}: {fit.views} views, {fit.corners} corners {fit.rms_px:.3f} pixels off"]
    save_intrinsics(args.out, fit.lens, camera.name, notes)
    print(f"written: {args.out}")
    return 0


def lens_report(fit: LensFit, camera: CameraConfig) -> str:
    """Return what was found, as text for people."""
    lens = fit.lens
    (fx, fy), (sx, sy) = (lens.K[0, 0], lens.K[1, 1]), fit.focal_sd_px
    (cx, cy), (tx, ty) = (lens.K[0, 2], lens.K[1, 2]), fit.middle_sd_px
    lines = [
        f"{fit.views} views of {lens.width}x{lens.height}, {fit.corners} corners: {fit.rms_px:.3f} pixels off "
        f"(root mean square), {fit.worst_px:.3f} in the worst, {fit.worst}",
        f"focal length {fx:.2f}, {fy:.2f} pixels within {sx:.2f}, {sy:.2f} ({100 * max(sx / fx, sy / fy):.2f} %); "
        f"middle {cx:.1f}, {cy:.1f} within {tx:.1f}, {ty:.1f} (standard deviations)",
        f"distortion k1 k2 p1 p2 k3: {' '.join(f'{v:.5f}' for v in lens.distortion)}",
        f"fovy_deg: {lens.fovy_deg:.2f} for the robot's description, which has {camera.fovy_deg:g}",
    ]
    if fit.left_out:
        lines.insert(1, f"left out, they do not fit the others: {', '.join(fit.left_out)}")
    return "\n".join(lines)


def hand_report(found: HandEye, views: int) -> str:
    """Return where the camera sits, as text for people, its last line for the robot's description."""
    xyz = [round(float(v), 4) for v in found.position]
    rpy = [round(float(v), 2) for v in rpy_deg(found.R_hand_camera)]
    return (
        f"{views} views: joints and pictures differ by {1e3 * found.error_m:.1f} mm and "
        f"{math.degrees(found.error_rad):.2f} degrees (root mean square), most in {found.worst}; the hand turned "
        f"{found.turn_deg:.0f} degrees about a second axis\n"
        f"place within about {1e3 * found.position_sd_m:.1f} mm, turn within {math.degrees(found.angle_sd_rad):.2f} "
        "degrees (standard deviations, worst directions; errors of the joints that never change are not in there)\n"
        f"mount: {{xyz: {xyz}, rpy_deg: {rpy}}}"
    )


def rpy_deg(R: FloatArray) -> tuple[float, float, float]:
    """Return roll, pitch and yaw about fixed axes (REP-103), degrees, of a rotation (3, 3)."""
    pitch = math.atan2(-R[2, 0], math.hypot(R[0, 0], R[1, 0]))
    roll, yaw = math.atan2(R[2, 1], R[2, 2]), math.atan2(R[1, 0], R[0, 0])
    return math.degrees(roll), math.degrees(pitch), math.degrees(yaw)


def _gathered(args: argparse.Namespace, board: CharucoBoard, camera: CameraConfig) -> Gathered:
    """Return the views of the source. Raises InputError where there is no board in any picture."""
    path = Path(args.source)
    if path.is_dir():
        gathered = of_folder(path, board)
    elif path.is_file():
        gathered = of_stream(video_pictures(path), board, print)
    else:
        options = complete(_capture(args), camera, None)
        print(
            "Show the board near and far, in every corner of the picture, leaning every way, and hold it still; "
            "Ctrl-C ends."
        )
        gathered = of_stream(camera_pictures(args.source, options, print), board, print)
    if gathered.without:
        print(f"no board in {len(gathered.without)} of {gathered.seen} pictures: {', '.join(gathered.without)}")
    if not gathered.views:
        raise InputError(f"{args.source}: got {gathered.seen} pictures without the board, expected it in most of them")
    return gathered


def _capture(args: argparse.Namespace) -> CaptureOptions:
    width, height = 0, 0
    if args.size is not None:
        parts = args.size.lower().split("x")
        if len(parts) != 2 or not all(part.isdecimal() for part in parts):
            raise ConfigError(f"--size: got {args.size!r}, expected e.g. 1280x720")
        width, height = (int(part) for part in parts)
    return CaptureOptions(width=width, height=height, pixel_format=args.pixel_format, focus=args.focus)


def _check_out(args: argparse.Namespace) -> None:
    """Fail before the work, not after it."""
    if args.out is None:
        raise ConfigError("--out: got none, expected the camera_info YAML to write, e.g. overhead.yaml")
    if args.out.exists() and not (args.force and stat.S_ISREG(args.out.stat().st_mode)):
        raise ConfigError(f"--out: got {args.out}, which is there, expected a new file, or --force")
    if args.keep is not None and args.keep.exists():
        raise ConfigError(f"--keep: got {args.keep}, which is there, expected a new folder")


def _keep(folder: Path | None, gathered: Gathered) -> None:
    if folder is None:
        return
    folder.mkdir(parents=True)
    for number, picture in enumerate(gathered.pictures):
        if not cv2.imwrite(str(folder / f"{number:03d}.png"), np.asarray(picture)):
            raise ConfigError(f"{folder}: got a picture that cannot be written, expected room for it")
