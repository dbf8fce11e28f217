"""`so-arm locate-camera`: where a camera stands, from a picture of tags, ready for the robot's description."""

import argparse
import math
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from so_arm_policy.control.calibration import CameraPose, TagBoard, camera_pose
from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.core.intrinsics import pinhole_of
from so_arm_policy.core.mapping import from_mapping
from so_arm_policy.core.pinhole import look_at
from so_arm_policy.core.robot import CameraStand
from so_arm_policy.core.values import Image
from so_arm_policy.robot.camera.calibration_file import load_intrinsics
from so_arm_policy.robot.description import load_robot, load_yaml

SHAPE_TOLERANCE = 0.01
AHEAD_M = 1.0  # where a camera that does not look down at the table is said to look


@dataclass(frozen=True, kw_only=True)
class BoardFile:
    """A board as people write it down.

    tags: id -> middle of the tag on the board, (x, y) m, x to the right and y up as it is read; size_m: edge of a tag's
    black square; xyz: where the board's origin is, world frame, m; rpy_deg: roll, pitch and yaw (REP-103), zero for a
    board that lies flat, x ahead, to be read by who stands at the robot's right.
    """

    family: str
    size_m: float
    tags: dict[int, tuple[float, float]]
    xyz: tuple[float, float, float]
    rpy_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def board(self) -> TagBoard:
        """Return the board. Raises ConfigError or ShapeError."""
        return TagBoard(
            family=self.family,
            size_m=self.size_m,
            tags={tag: np.array(middle) for tag, middle in self.tags.items()},
            position=np.array(self.xyz),
            R_base_board=_turned(self.rpy_deg),
        )


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("picture", type=Path, help="picture that the camera took of the board")
    parser.add_argument("--board", type=Path, required=True, metavar="FILE", help="YAML: family, size_m, tags, xyz")
    parser.add_argument(
        "--lens", type=Path, metavar="FILE", help="camera_info YAML (see calibrate-camera): straightens"
    )
    parser.add_argument("--description", default="so101", help="robot whose camera it is")
    parser.add_argument("--camera", default="overhead", help="its name there; the field of view is taken from there")


def run(args: argparse.Namespace) -> int:
    """Find the camera, and print its stand. Raises SoArmError."""
    board = from_mapping(BoardFile, load_yaml(args.board), str(args.board)).board()
    camera = load_robot(args.description).camera(args.camera)
    rgb = _read(args.picture)
    height, width = rgb.shape[:2]
    if args.lens is not None:
        lens = load_intrinsics(args.lens)
        if (width, height) != (lens.width, lens.height):
            raise InputError(
                f"{args.picture}: got {width}x{height}, expected {lens.width}x{lens.height} of {args.lens}"
            )
        camera = replace(camera, width=width, height=height, fovy_deg=lens.fovy_deg)
        ideal = pinhole_of(camera)
        rgb = np.asarray(cv2.undistort(rgb, lens.K, lens.distortion, None, ideal.K), np.uint8)
    if abs(width * camera.height / (height * camera.width) - 1.0) > SHAPE_TOLERANCE:
        raise InputError(
            f"{args.picture}: got {width}x{height}, expected the shape of camera {camera.name!r}, "
            f"{camera.width}x{camera.height}; larger is better"
        )
    pose = camera_pose(rgb, replace(camera, width=width, height=height), board)
    stand = stand_of(pose)
    position, target = ([round(v, 4) for v in place] for place in (stand.position, stand.target))
    print(f"tags {', '.join(map(str, pose.tags))}: corners {pose.error_px:.2f} pixels off")
    print(f"position within about {1e3 * pose.position_sd_m:.1f} mm (standard deviation, worst direction)")
    print(f"stand: {{position: {position}, target: {target}, roll_deg: {stand.roll_deg:.2f}}}")
    return 0


def stand_of(pose: CameraPose) -> CameraStand:
    """Return a pose as where the camera stands, and what it sees in the middle of its picture."""
    ahead = pose.R_base_camera[:, 2]
    down = -pose.position[2] / ahead[2] if ahead[2] < 0.0 else math.inf
    target = pose.position + ahead * min(max(down, 0.1), AHEAD_M)
    R = look_at(pose.position, target).T @ pose.R_base_camera
    x, y, z = pose.position.tolist()
    u, v, w = target.tolist()
    return CameraStand(position=(x, y, z), target=(u, v, w), roll_deg=math.degrees(math.atan2(R[1, 0], R[0, 0])))


def _turned(rpy_deg: tuple[float, float, float]) -> FloatArray:
    """Return the rotation (3, 3) of roll, pitch and yaw about fixed axes, REP-103."""
    roll, pitch, yaw = np.radians(rpy_deg)
    about = (np.array([roll, 0.0, 0.0]), np.array([0.0, pitch, 0.0]), np.array([0.0, 0.0, yaw]))
    x, y, z = (np.asarray(cv2.Rodrigues(vector)[0], dtype=np.float64) for vector in about)
    return z @ y @ x


def _read(path: Path) -> Image:
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR) if path.is_file() else None
    if bgr is None:
        raise ConfigError(f"{path}: got no file that opens as an image, expected one")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), dtype=np.uint8)
