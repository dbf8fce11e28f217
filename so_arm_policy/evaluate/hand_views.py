"""Where the hand was in each picture: joints from a table, and the arm's own kinematics."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from so_arm_policy.control.charuco.board import BoardView
from so_arm_policy.control.charuco.hand_eye import HandView
from so_arm_policy.control.hand import Hand
from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.sim.expert import arm_iks

PICTURE = "picture"


def arm_of(robot: RobotConfig, camera: str) -> int:
    """Return the number of the arm that carries a camera, '<arm prefix>wrist'. Raises ConfigError."""
    if robot.camera(camera).stand is not None:
        raise ConfigError(
            f"--camera: got {camera!r}, which stands, expected one that an arm carries; see locate-camera"
        )
    for number, arm in enumerate(robot.arms):
        if camera == f"{arm.prefix}wrist":
            return number
    raise ConfigError(f"--camera: got {camera!r}, expected '<arm prefix>wrist'")


def hand_views(
    views: Sequence[BoardView], joints: dict[str, FloatArray], robot: RobotConfig, arm: int
) -> list[HandView]:
    """Return each view with the hand's pose in the world frame. Raises InputError for a picture without joints."""
    unknown = [view.name for view in views if view.name not in joints]
    if unknown:
        raise InputError(f"joints: got none for {', '.join(unknown)}, expected a row for each picture of the board")
    hand = Hand.all_of(robot, arm_iks(robot))[arm]
    yaw = robot.arms[arm].base_yaw
    c, s = math.cos(yaw), math.sin(yaw)
    R_world_base = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    found = []
    for view in views:
        R_base_hand, tip = hand.ik.frame(joints[view.name])
        found.append(HandView(view=view, R_world_hand=R_world_base @ R_base_hand, tip=hand.base + R_world_base @ tip))
    return found


def read_joints(path: Path, robot: RobotConfig) -> dict[str, FloatArray]:
    """Return joints (n,) rad by picture from a CSV file: a column `picture`, one for each joint. Raises InputError."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: got {error}, expected a CSV file") from error
    joints: dict[str, FloatArray] = {}
    for number, row in enumerate(rows, 2):
        name, values = row.pop(PICTURE, None), list(row.values())
        if not name or name in joints or None in values or None in row:
            raise InputError(f"{path}, line {number}: got {name!r}, expected a column 'picture' with each picture once")
        try:
            q = [float(value) for value in values]
        except ValueError as error:
            raise InputError(f"{path}, line {number}: got {error}, expected numbers, rad") from error
        joints[name] = robot.order(list(row), q, f"{path}, line {number}")
    return joints
