"""LeRobot's calibration of one arm, and the one place where ticks become radians and radians become ticks.

A servo's present position is its encoder less its homing offset, 0..4095. As in LeRobot, 0 rad is the middle of the
recorded range; the gripper is shut (its lower limit) at the range's beginning. A turn has 4096 ticks (LeRobot divides
by 4095, 0.02 % less).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from so_arm_policy.core.arrays import BoolArray, FloatArray, IntArray
from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.core.mapping import from_mapping, to_mapping
from so_arm_policy.core.paths import find_shipped
from so_arm_policy.core.robot import JointConfig, RobotConfig
from so_arm_policy.robot.feetech.registers import HOMING_OFFSET, RAD_PER_TICK, TICKS_PER_TURN

LAST_TICK = TICKS_PER_TURN - 1
# A recorded range as a share of the robot's own: calibrations of real SO-101 arms lie within 1.0..1.3.
LEAST_SPAN, LARGEST_SPAN = 0.75, 1.4


@dataclass(frozen=True, kw_only=True)
class ServoCalibration:
    """One servo, by LeRobot's names. homing_offset, range_min, range_max: ticks; drive_mode: 1 turns it round."""

    id: int
    drive_mode: int
    homing_offset: int
    range_min: int
    range_max: int

    def __post_init__(self) -> None:
        """Refuse what no servo can have."""
        if not 0 < self.id <= 252:
            raise ConfigError(f"servo: got id {self.id}, expected 1..252")
        if self.drive_mode not in (0, 1):
            raise ConfigError(f"servo {self.id}: got drive_mode {self.drive_mode}, expected 0 or 1")
        if not abs(self.homing_offset) <= HOMING_OFFSET.largest:
            limit = HOMING_OFFSET.largest
            raise ConfigError(f"servo {self.id}: got homing_offset {self.homing_offset}, expected -{limit}..{limit}")
        if not 0 <= self.range_min < self.range_max <= LAST_TICK:
            got = f"range {self.range_min}..{self.range_max}"
            raise ConfigError(f"servo {self.id}: got {got}, expected 0 <= range_min < range_max <= {LAST_TICK}")


@dataclass(frozen=True, kw_only=True, eq=False)
class ArmCalibration:
    """The servos of one arm, in the order of its joints. source: where it comes from, for messages."""

    joints: tuple[JointConfig, ...]
    servos: tuple[ServoCalibration, ...]
    source: str

    def __post_init__(self) -> None:
        """Refuse servos that are not those of these joints. Raises ConfigError."""
        if len(self.joints) != len(self.servos):
            raise ConfigError(f"{self.source}: got {len(self.servos)} servos, expected {len(self.joints)}")
        for number, (joint, servo) in enumerate(zip(self.joints, self.servos, strict=True), 1):
            _check(self.source, joint, servo, number)

    @cached_property
    def ids(self) -> tuple[int, ...]:
        """Servo ids in the order of the joints."""
        return tuple(servo.id for servo in self.servos)

    def radians(self, ticks: Sequence[int]) -> FloatArray:
        """Return joint positions, (n,) rad, for present positions (n,).

        Whichever side of the jump between 4095 and 0 a servo reports, the joint is within half a turn of the middle of
        its range.
        """
        q: FloatArray = self._zero_q + self._way * (self._unwrapped(ticks) - self._zero_tick) * RAD_PER_TICK
        return q

    def beyond_jump(self, ticks: Sequence[int]) -> BoolArray:
        """Return which joints stand on the other side of the jump, (n,): their servos know no short way back."""
        unwrapped = self._unwrapped(ticks)
        return (unwrapped < 0.0) | (unwrapped > LAST_TICK)

    def _unwrapped(self, ticks: Sequence[int]) -> FloatArray:
        away = np.asarray(ticks, dtype=np.float64) - self._middle
        unwrapped: FloatArray = self._middle + (away + TICKS_PER_TURN / 2) % TICKS_PER_TURN - TICKS_PER_TURN / 2
        return unwrapped

    def ticks(self, q: FloatArray) -> tuple[IntArray, BoolArray]:
        """Return goal positions (n,) for `q` (n,) rad, and which of them had to be kept within the recorded range.

        Raises InputError when `q` is not finite.
        """
        if np.shape(q) != self._middle.shape or not np.isfinite(q).all():
            raise InputError(f"goal: got {q}, expected {len(self._middle)} finite numbers")
        wanted = np.rint(self._zero_tick + self._way * (np.asarray(q) - self._zero_q) / RAD_PER_TICK)
        kept = np.clip(wanted, self._low, self._high)
        return kept.astype(np.int64), kept != wanted

    def speed(self, ticks_per_s: Sequence[int]) -> FloatArray:
        """Return joint velocities, (n,) rad/s, for present velocities (n,)."""
        return np.asarray(self._way * np.asarray(ticks_per_s) * RAD_PER_TICK)

    def signed(self, values: Sequence[float]) -> FloatArray:
        """Return what servos measure with their own sign (load), (n,), with that of the joints."""
        return np.asarray(self._way * np.asarray(values))

    @cached_property
    def _low(self) -> FloatArray:
        return np.array([s.range_min for s in self.servos], dtype=np.float64)

    @cached_property
    def _high(self) -> FloatArray:
        return np.array([s.range_max for s in self.servos], dtype=np.float64)

    @cached_property
    def _middle(self) -> FloatArray:
        return (self._low + self._high) / 2.0

    @cached_property
    def _way(self) -> FloatArray:
        return np.array([-1.0 if s.drive_mode else 1.0 for s in self.servos])

    @cached_property
    def _zero_tick(self) -> FloatArray:
        """The tick at which each joint is at `_zero_q`."""
        shut = np.where(self._way > 0, self._low, self._high)
        return np.where(self._grippers, shut, self._middle)

    @cached_property
    def _zero_q(self) -> FloatArray:
        return np.where(self._grippers, [j.lower for j in self.joints], 0.0)

    @cached_property
    def _grippers(self) -> BoolArray:
        return np.array([j.name.endswith("gripper") for j in self.joints])


def _check(source: str, joint: JointConfig, servo: ServoCalibration, expected_id: int) -> None:
    if servo.id != expected_id:
        got = f"id {servo.id} for joint {joint.name!r}"
        raise ConfigError(f"{source}: got {got}, expected {expected_id}: the ids of an SO-101 count from the base")
    share = (servo.range_max - servo.range_min) * RAD_PER_TICK / (joint.upper - joint.lower)
    if not LEAST_SPAN <= share <= LARGEST_SPAN:
        got = f"range {servo.range_min}..{servo.range_max} of joint {joint.name!r}, {share:.2f} of the robot's"
        raise ConfigError(f"{source}: got {got}, expected {LEAST_SPAN}..{LARGEST_SPAN}: calibrate it anew")


def joints_of_arm(robot: RobotConfig, arm: int) -> tuple[JointConfig, ...]:
    """Return the joints of arm number `arm`, in the robot's order. Raises ConfigError when there is no such arm."""
    if not 0 <= arm < len(robot.arms):
        raise ConfigError(f"robot {robot.name!r}: got arm {arm}, expected 0..{len(robot.arms) - 1}")
    prefix = robot.arms[arm].prefix
    return tuple(j for j in robot.joints if j.name.startswith(prefix))


def read_calibration(data: Any, robot: RobotConfig, arm: int, source: str) -> ArmCalibration:
    """Build the calibration of an arm from what LeRobot's JSON holds, by joint without the arm's prefix.

    Raises ConfigError for missing, unknown or double motors, wrong ids and ranges that this arm cannot have.
    """
    joints = joints_of_arm(robot, arm)
    prefix = robot.arms[arm].prefix
    names = [j.name.removeprefix(prefix) for j in joints]
    if not isinstance(data, dict) or set(data) != set(names):
        got = sorted(map(str, data)) if isinstance(data, dict) else type(data).__name__
        raise ConfigError(f"{source}: got {got}, expected the motors {sorted(names)}")
    servos = tuple(from_mapping(ServoCalibration, data[name], f"{source}: {name}") for name in names)
    return ArmCalibration(joints=joints, servos=servos, source=source)


def load_calibration(name: str, robot: RobotConfig, arm: int = 0) -> ArmCalibration:
    """Load a shipped calibration (config/calibration) or LeRobot's JSON by its path. Raises ConfigError."""
    path = find_shipped("config/calibration", name if Path(name).suffix else f"{name}.json")
    try:
        data = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_no_doubles)
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise ConfigError(f"{path}: got {error}, expected LeRobot's calibration JSON") from error
    return read_calibration(data, robot, arm, str(path))


def save_calibration(path: Path, calibration: ArmCalibration, prefix: str) -> None:
    """Write LeRobot's JSON, whole or not at all. Raises ConfigError."""
    names = [j.name.removeprefix(prefix) for j in calibration.joints]
    data = {name: to_mapping(servo) for name, servo in zip(names, calibration.servos, strict=True)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        partial.write_text(json.dumps(data, indent=4) + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise ConfigError(f"{path}: got {error}, expected a file that can be written") from error


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise ValueError(f"{sorted({k for k in keys if keys.count(k) > 1})} twice")
    return dict(pairs)
