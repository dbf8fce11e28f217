"""Joint angles of LeRobot datasets: the one place where they become radians, and other people's names ours."""

from collections.abc import Sequence
from enum import StrEnum

import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import InputError
from so_arm_policy.core.robot import RobotConfig

# How far outside the robot's limits honest data may lie: calibrations differ by some degrees from arm to arm, and
# LeRobot lets the wrist turn all the way round (180 degrees, where the model stops at 157).
SLACK_RAD = 0.5


class Units(StrEnum):
    """What the numbers of a state or action column mean.

    A gripper is a percentage of its range with `DEGREES` and `NORMALIZED`, 0 closed and 100 open.
    """

    DEGREES = "degrees"  # LeRobot's default: degrees from the middle of the range
    NORMALIZED = "normalized"  # LeRobot with use_degrees=False, and datasets of older versions: -100..100 of the range
    RADIANS = "radians"


def joint_columns(robot: RobotConfig, names: Sequence[str] | None, where: str) -> tuple[int, ...]:
    """Return for each joint of the robot, in its order, the position in `names` (ours or aliases).

    Raises InputError when there are no names, when one is not a joint of the robot, and when one is double or missing.
    """
    if names is None:
        raise InputError(f"{where}: got no names, expected the names of joints, e.g. {list(lerobot_names(robot))}")
    ours = [robot.aliases.get(name, name) for name in names]
    unknown = [name for name, our in zip(names, ours, strict=True) if our not in robot.joint_names]
    if unknown:
        raise InputError(
            f"{where}: got unknown joints {unknown}, expected those of {robot.name}, e.g. {list(lerobot_names(robot))};"
            " other names belong into the robot's aliases"
        )
    double = sorted({our for our in ours if ours.count(our) > 1})
    missing = [joint for joint in robot.joint_names if joint not in ours]
    if double or missing:
        raise InputError(f"{where}: got {list(names)}: {double} double, {missing} missing, expected every joint once")
    return tuple(ours.index(joint) for joint in robot.joint_names)


def lerobot_names(robot: RobotConfig) -> tuple[str, ...]:
    """Return what LeRobot calls the robot's joints, in the robot's order: `<joint>.pos`."""
    known = {our: theirs for theirs, our in robot.aliases.items() if theirs.endswith(".pos")}
    return tuple(known.get(joint, f"{joint}.pos") for joint in robot.joint_names)


def to_radians(values: FloatArray, robot: RobotConfig, units: Units) -> FloatArray:
    """Return `values` (..., n) in `units`, columns in the robot's order, as radians."""
    scale, offset = scale_and_offset(robot, units)
    return np.asarray(values * scale + offset)


def from_radians(q: FloatArray, robot: RobotConfig, units: Units) -> FloatArray:
    """Return `q` (..., n) rad as `units`; the inverse of `to_radians`."""
    scale, offset = scale_and_offset(robot, units)
    return np.asarray((q - offset) / scale)


def check_units(values: FloatArray, robot: RobotConfig, units: Units, where: str) -> None:
    """Raise InputError when `values` (N, n), in the robot's order, cannot be in `units` for this robot.

    Two things show it: a value far outside the limits, and numbers so small that only radians make sense of them
    (as degrees, no joint would ever be 3 degrees away from the middle of its range).
    """
    outside = {each: _outside(values, robot, each) for each in Units}
    got = outside[units]
    fitting = [each for each in Units if not outside[each]]
    if not got and units is not Units.RADIANS and not outside[Units.RADIANS]:
        got, fitting = f"every value within {values.min():.4g}..{values.max():.4g}", [Units.RADIANS]
    if got:
        hint = f"they fit {' and '.join(fitting)}: units=..." if fitting else f"they fit no units of {robot.name}"
        raise InputError(f"{where}: got {got}, expected {units} of {robot.name}; {hint}")


def _outside(values: FloatArray, robot: RobotConfig, units: Units) -> str:
    """Say which joint leaves its limits by more than the slack; an empty text when none does."""
    lowest, highest = (to_radians(bound, robot, units) for bound in (values.min(axis=0), values.max(axis=0)))
    for i, joint in enumerate(robot.joint_names):
        if lowest[i] < robot.lower[i] - SLACK_RAD or highest[i] > robot.upper[i] + SLACK_RAD:
            return f"{joint} within {values[:, i].min():.4g}..{values[:, i].max():.4g}"
    return ""


def scale_and_offset(robot: RobotConfig, units: Units) -> tuple[FloatArray, FloatArray]:
    """Return (n,) scale and (n,) offset with radians = values * scale + offset."""
    span = robot.upper - robot.lower
    gripper = np.array([joint.endswith("gripper") for joint in robot.joint_names])
    if units is Units.RADIANS:
        return np.ones_like(span), np.zeros_like(span)
    if units is Units.DEGREES:
        scale, offset = np.full_like(span, np.pi / 180.0), np.zeros_like(span)
    else:
        scale, offset = span / 200.0, (robot.lower + robot.upper) / 2.0
    return np.where(gripper, span / 100.0, scale), np.where(gripper, robot.lower, offset)
