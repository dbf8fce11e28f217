"""The description of one robot: joints, limits, poses, names of others, cameras."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from so_arm_policy.core.arrays import FloatArray, vector
from so_arm_policy.core.errors import ConfigError, InputError


@dataclass(frozen=True, kw_only=True)
class JointConfig:
    """One joint. Positions rad, velocity rad/s, acceleration rad/s^2, jerk rad/s^3; all limits are positive sizes.

    following: how far the joint may lag behind its command, rad.
    """

    name: str
    lower: float
    upper: float
    velocity: float
    acceleration: float
    jerk: float
    following: float
    home: float
    rest: float

    def __post_init__(self) -> None:
        """Refuse what is not finite, inverted or out of its own limits."""
        if not (math.isfinite(self.lower) and math.isfinite(self.upper) and self.lower < self.upper):
            raise ConfigError(f"joint {self.name!r}: got limits [{self.lower}, {self.upper}], expected lower < upper")
        for name in ("velocity", "acceleration", "jerk", "following"):
            value = getattr(self, name)
            if not 0.0 < value < math.inf:
                raise ConfigError(f"joint {self.name!r}: got {name} limit {value}, expected a positive finite number")
        for name in ("home", "rest"):
            value = getattr(self, name)
            if not self.lower <= value <= self.upper:
                raise ConfigError(
                    f"joint {self.name!r}: got {name} {value}, expected within [{self.lower}, {self.upper}]"
                )


@dataclass(frozen=True, kw_only=True)
class MotorLimits:
    """What its motors may bear: load as a share of full torque, degrees Celsius, V."""

    load: float
    temperature_c: float
    voltage_low_v: float
    voltage_high_v: float

    def __post_init__(self) -> None:
        """Refuse what no motor bears, and inverted limits."""
        if not 0.0 < self.load <= 1.0:
            raise ConfigError(f"motors: got load {self.load}, expected 0 < load <= 1")
        if not 0.0 < self.temperature_c <= 100.0:
            raise ConfigError(f"motors: got temperature_c {self.temperature_c}, expected 0 < temperature_c <= 100")
        if not 0.0 < self.voltage_low_v < self.voltage_high_v < math.inf:
            got = f"{self.voltage_low_v}..{self.voltage_high_v} V"
            raise ConfigError(f"motors: got {got}, expected 0 < voltage_low_v < voltage_high_v")


@dataclass(frozen=True, kw_only=True)
class CameraStand:
    """Where a camera stands that no arm carries: its place and what is in the middle of its picture, world frame, m.

    roll_deg: how far it is turned clockwise from where its picture's upper edge is level.
    """

    position: tuple[float, float, float]
    target: tuple[float, float, float]
    roll_deg: float = 0.0

    def __post_init__(self) -> None:
        """Refuse numbers that are not finite, and a camera that looks nowhere or straight down or up."""
        numbers = (*self.position, *self.target, self.roll_deg)
        if not all(math.isfinite(v) and abs(v) <= 360.0 for v in numbers):
            raise ConfigError(f"camera's stand: got {numbers}, expected finite numbers")
        if not math.dist(self.position[:2], self.target[:2]) > 1e-3:
            raise ConfigError(
                f"camera's stand: got {self.position} that looks at {self.target}, expected at least 1 mm aside"
            )


@dataclass(frozen=True, kw_only=True)
class CameraMount:
    """Where on a hand its camera sits: its optical frame in the hand's frame, which is at the fingertip, z ahead.

    xyz: m; rpy_deg: roll, pitch and yaw about fixed axes, REP-103.
    """

    xyz: tuple[float, float, float]
    rpy_deg: tuple[float, float, float]

    def __post_init__(self) -> None:
        """Refuse numbers that are not finite, and cameras that are not on the hand."""
        if not all(abs(v) <= 0.5 for v in self.xyz) or not all(abs(v) <= 360.0 for v in self.rpy_deg):
            got = f"xyz {self.xyz}, rpy_deg {self.rpy_deg}"
            raise ConfigError(f"camera's mount: got {got}, expected at most 0.5 m and 360 degrees")


@dataclass(frozen=True, kw_only=True)
class CameraConfig:
    """One camera: picture size in pixels, frames a second, vertical field of view in degrees.

    frame_id is the optical frame of REP-103. stand: None for a camera that an arm carries. mount: where on the hand;
    None for where the arm's model has it.
    """

    name: str
    width: int
    height: int
    fps: float
    fovy_deg: float
    frame_id: str
    stand: CameraStand | None = None
    mount: CameraMount | None = None

    def __post_init__(self) -> None:
        """Refuse sizes and rates that no camera has."""
        if self.stand is not None and self.mount is not None:
            raise ConfigError(f"camera {self.name!r}: got a stand and a mount, expected at most one")
        if not (0 < self.width <= 8192 and 0 < self.height <= 8192):
            raise ConfigError(f"camera {self.name!r}: got size {self.width}x{self.height}, expected 1..8192 pixels")
        if not 0.0 < self.fps <= 1000.0:
            raise ConfigError(f"camera {self.name!r}: got fps {self.fps}, expected 0 < fps <= 1000")
        if not 0.0 < self.fovy_deg < 180.0:
            raise ConfigError(f"camera {self.name!r}: got fovy_deg {self.fovy_deg}, expected 0 < fovy_deg < 180")


@dataclass(frozen=True, kw_only=True)
class ArmConfig:
    """One arm: the prefix of its joints (empty with a single arm) and where its base stands in the world, m and rad."""

    prefix: str
    base_xyz: tuple[float, float, float]
    base_yaw: float


@dataclass(frozen=True, kw_only=True)
class RobotConfig:
    """A whole robot. Joint order here is the order of every array in the package.

    aliases: other people's joint name -> ours (e.g. `shoulder_pan_joint`, `shoulder_pan.pos`).
    """

    name: str
    arms: tuple[ArmConfig, ...]
    joints: tuple[JointConfig, ...]
    motors: MotorLimits
    cameras: tuple[CameraConfig, ...]
    aliases: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse empty or double names, and aliases that lead nowhere."""
        if not self.joints or not self.arms:
            raise ConfigError(f"robot {self.name!r}: got no joints or no arms, expected at least one of each")
        for kind, names in (("joint", self.joint_names), ("camera", self.camera_names)):
            double = sorted({n for n in names if names.count(n) > 1})
            if double:
                raise ConfigError(f"robot {self.name!r}: got {kind} {double} twice, expected different names")
        for alias, name in self.aliases.items():
            if name not in self.joint_names or alias in self.joint_names:
                raise ConfigError(f"robot {self.name!r}: alias {alias!r} -> {name!r}, expected to lead to a joint")

    @cached_property
    def joint_names(self) -> tuple[str, ...]:
        """Joint names in the robot's order."""
        return tuple(j.name for j in self.joints)

    @cached_property
    def camera_names(self) -> tuple[str, ...]:
        """Camera names in the robot's order."""
        return tuple(c.name for c in self.cameras)

    @cached_property
    def lower(self) -> FloatArray:
        """Lower position limits, (n,) rad."""
        return vector([j.lower for j in self.joints])

    @cached_property
    def upper(self) -> FloatArray:
        """Upper position limits, (n,) rad."""
        return vector([j.upper for j in self.joints])

    @cached_property
    def velocity(self) -> FloatArray:
        """Velocity limits, (n,) rad/s."""
        return vector([j.velocity for j in self.joints])

    @cached_property
    def acceleration(self) -> FloatArray:
        """Acceleration limits, (n,) rad/s^2."""
        return vector([j.acceleration for j in self.joints])

    @cached_property
    def jerk(self) -> FloatArray:
        """Jerk limits, (n,) rad/s^3."""
        return vector([j.jerk for j in self.joints])

    @cached_property
    def following(self) -> FloatArray:
        """How far each joint may lag behind its command, (n,) rad."""
        return vector([j.following for j in self.joints])

    @cached_property
    def home(self) -> FloatArray:
        """Pose from which work starts, (n,) rad."""
        return vector([j.home for j in self.joints])

    @cached_property
    def rest(self) -> FloatArray:
        """Folded pose, safe without torque, (n,) rad."""
        return vector([j.rest for j in self.joints])

    def camera(self, name: str) -> CameraConfig:
        """Return the camera called `name`. Raises ConfigError."""
        for camera in self.cameras:
            if camera.name == name:
                return camera
        raise ConfigError(f"got camera {name!r}, expected one of {list(self.camera_names)}")

    def order(self, names: Sequence[str], values: Sequence[float], what: str = "position") -> FloatArray:
        """Put `values`, given for `names` (ours or aliases, any order, others ignored), into the robot's order: (n,).

        Raises InputError when a joint is missing, double or not finite, or lengths differ.
        """
        if len(names) != len(values):
            raise InputError(f"{what}: got {len(names)} names and {len(values)} values, expected as many of each")
        found: dict[str, float] = {}
        for name, value in zip(names, values, strict=True):
            ours = self.aliases.get(name, name)
            if ours in found:
                raise InputError(f"{what}: got joint {ours!r} twice, expected once")
            found[ours] = value
        missing = [n for n in self.joint_names if n not in found]
        if missing:
            raise InputError(f"{what}: got joints {list(names)}, expected {missing} too")
        ordered = np.array([found[n] for n in self.joint_names], dtype=np.float64)
        bad = [n for n, v in zip(self.joint_names, ordered, strict=True) if not math.isfinite(v)]
        if bad:
            raise InputError(f"{what}: got {[found[n] for n in bad]} for joint {bad}, expected finite numbers")
        ordered.setflags(write=False)
        return ordered
