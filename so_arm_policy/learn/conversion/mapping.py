"""What the topics of a bag are in a LeRobot dataset: one file, config/conversion/NAME.yaml, for both directions."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.mapping import from_mapping
from so_arm_policy.core.paths import find_shipped
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.evaluate.bags.images import SUFFIX
from so_arm_policy.evaluate.bags.reader import Bag
from so_arm_policy.learn.datasets.units import Units
from so_arm_policy.robot.description import load_robot, load_yaml

JOINT_STATE, FLOATS = "sensor_msgs/msg/JointState", "std_msgs/msg/Float64MultiArray"
RECEIVED, STAMPED = "received", "stamped"


@dataclass(frozen=True, kw_only=True)
class JointTopic:
    """A topic of joint values. units: of its values, one of `Units`; max_age_s: older ones are in no frame.

    order: the joints of a Float64MultiArray, as the bag names them; empty for a JointState, which has names.
    zero_effort_is_limp: an effort of 0 for every joint means no torque, and nothing that anyone could learn.
    """

    topic: str
    units: str = Units.RADIANS.value
    order: tuple[str, ...] = ()
    max_age_s: float = 0.1
    zero_effort_is_limp: bool = False

    def __post_init__(self) -> None:
        """Refuse empty names, other units and ages that are none."""
        _check_topic(self.topic, self.max_age_s)
        _check_one_of("units", self.units, [units.value for units in Units])

    @property
    def kind(self) -> str:
        """The type of its messages."""
        return FLOATS if self.order else JOINT_STATE


@dataclass(frozen=True, kw_only=True)
class CameraTopic:
    """A topic of pictures, raw or with /compressed. size: (height, width) to which they are resized; None: as is."""

    topic: str
    size: tuple[int, int] | None = None
    max_age_s: float = 0.1

    def __post_init__(self) -> None:
        """Refuse empty names, sizes no picture has and ages that are none."""
        _check_topic(self.topic, self.max_age_s)
        if self.size is not None and not all(0 < length <= 8192 for length in self.size):
            raise ConfigError(f"camera {self.topic!r}: got size {self.size}, expected height and width of 1..8192")

    @property
    def raw(self) -> str:
        """The topic without /compressed."""
        return self.topic.removesuffix(SUFFIX)


@dataclass(frozen=True, kw_only=True)
class Words:
    """Where the instruction is. topic: of std_msgs/String; keys: of custom_data in metadata.yaml, first one first."""

    topic: str = ""
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Mapping:
    """Names, units and limits of both sides.

    robot: its description. state, action: what was measured and commanded. cameras: by name in the dataset.
    joints: the bag's name -> the robot's, where its own names and its aliases do not do. marker: a topic each of whose
    messages begins an episode, whatever its type; empty for none. fps: frames a second. units: in the dataset.
    clock: frames see what was "received", or "stamped" by its header, until then. shortest_s: of an episode.
    Topics without a leading / are in the namespace that the recorder noted.
    """

    robot: str
    state: JointTopic
    action: JointTopic
    cameras: dict[str, CameraTopic] = field(default_factory=dict)
    instruction: Words = Words()
    joints: dict[str, str] = field(default_factory=dict)
    marker: str = ""
    fps: int = 30
    units: str = Units.DEGREES.value
    clock: str = RECEIVED
    shortest_s: float = 1.0

    def __post_init__(self) -> None:
        """Refuse values that cannot be, and topics that are two things."""
        _check_one_of("units", self.units, [units.value for units in Units])
        _check_one_of("clock", self.clock, [RECEIVED, STAMPED])
        if not 0 < self.fps <= 1000:
            raise ConfigError(f"fps: got {self.fps}, expected 1..1000")
        if not 0.0 <= self.shortest_s < math.inf:
            raise ConfigError(f"shortest_s: got {self.shortest_s}, expected 0 or more seconds")
        for camera in self.cameras:
            if not camera or "/" in camera:
                raise ConfigError(f"cameras: got name {camera!r}, expected one without '/'")
        used = [self.state.topic, self.action.topic, *(c.raw for c in self.cameras.values())]
        double = sorted({topic for topic in used if used.count(topic) > 1})
        if double:
            raise ConfigError(f"topics: got {double} for two things, expected one topic for each")

    def described(self) -> RobotConfig:
        """Return the robot, which knows the bag's names of joints too. Raises ConfigError."""
        robot = load_robot(self.robot)
        known = {theirs: ours for theirs, ours in self.joints.items() if theirs != ours}
        double = sorted({ours for ours in self.joints.values() if list(self.joints.values()).count(ours) > 1})
        if double:
            raise ConfigError(f"joints: got {double} twice, expected each joint of {robot.name} once")
        robot = replace(robot, aliases={**robot.aliases, **known})
        for source in (self.state, self.action):
            ours = [robot.aliases.get(name, name) for name in source.order]
            if source.order and sorted(ours) != sorted(robot.joint_names):
                raise ConfigError(f"order: got {list(source.order)}, expected each of {list(robot.joint_names)} once")
        return robot

    def bag_names(self, robot: RobotConfig) -> tuple[str, ...]:
        """Return what the bag calls the robot's joints, in the robot's order."""
        theirs = {ours: name for name, ours in self.joints.items()}
        return tuple(theirs.get(joint, joint) for joint in robot.joint_names)


def load_mapping(name: str) -> Mapping:
    """Load a shipped mapping by name (e.g. "so_arm"), or any by the path of its YAML file. Raises ConfigError."""
    path = find_shipped("config/conversion", name if Path(name).suffix else f"{name}.yaml")
    return from_mapping(Mapping, load_yaml(path), str(path))


def absolute(topic: str, bag: Bag) -> str:
    """Return the whole name of a topic in `bag`."""
    return topic if topic.startswith("/") else f"{bag.custom.get('namespace', '/').rstrip('/')}/{topic}"


def _check_topic(topic: str, max_age_s: float) -> None:
    if not topic.strip("/ "):
        raise ConfigError(f"topic: got {topic!r}, expected a name")
    if not 0.0 < max_age_s < math.inf:
        raise ConfigError(f"topic {topic!r}: got max_age_s {max_age_s}, expected seconds above 0")


def _check_one_of(what: str, got: str, known: Sequence[str]) -> None:
    if got not in known:
        raise ConfigError(f"{what}: got {got!r}, expected one of {list(known)}")
