"""Controllers of an arm that is under ros2_control already: their topics, their joints, and what goes to each."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from so_arm_policy.core.arrays import FloatArray, IntArray
from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.core.mapping import from_mapping
from so_arm_policy.core.paths import find_shipped
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.robot.description import load_yaml

POSITION, TRAJECTORY = "position", "trajectory"
KINDS = (POSITION, TRAJECTORY)
JOIN_SHARE = 0.5  # of what a joint may lag: how far from the arm a first command may be


@dataclass(frozen=True, kw_only=True)
class Controller:
    """One controller. joints: its names (the robot's or aliases) in its order; reach_s: how long a point takes."""

    kind: str
    topic: str
    joints: tuple[str, ...]
    reach_s: float = 0.04

    def __post_init__(self) -> None:
        """Refuse what no controller is. Raises ConfigError."""
        if self.kind not in KINDS:
            raise ConfigError(f"controller: got kind {self.kind!r}, expected one of {list(KINDS)}")
        if not self.topic or not self.joints:
            raise ConfigError(f"controller: got topic {self.topic!r}, joints {self.joints}, expected both")
        if not 0.0 < self.reach_s <= 0.5:
            raise ConfigError(f"controller {self.topic}: got reach_s {self.reach_s}, expected 0 < reach_s <= 0.5")


@dataclass(frozen=True, kw_only=True)
class Controllers:
    """All controllers of a robot, and where their broadcaster says how the joints are."""

    joint_states: str
    controllers: tuple[Controller, ...]

    def places(self, robot: RobotConfig) -> list[IntArray]:
        """Return for each controller where its joints are in the robot's order.

        Raises ConfigError unless every joint is there once.
        """
        ours = [[robot.aliases.get(name, name) for name in c.joints] for c in self.controllers]
        given = [name for names in ours for name in names]
        if sorted(given) != sorted(robot.joint_names):
            raise ConfigError(f"controllers: got joints {given}, expected each of {list(robot.joint_names)} once")
        return [np.array([robot.joint_names.index(name) for name in names]) for names in ours]


def load_controllers(name: str) -> Controllers:
    """Load a shipped file (config/ros2_control) by name or any by its path. Raises ConfigError."""
    path = find_shipped("config/ros2_control", name if Path(name).suffix else f"{name}.yaml")
    return from_mapping(Controllers, load_yaml(path), str(path))


class Joining:
    """Lets commands through that go on from where the arm is: after any silence the first must be near it.

    Controllers go to whatever they are told at once, and know nothing of what was before.
    """

    def __init__(self, robot: RobotConfig, silence_ns: int, stale_ns: int) -> None:
        """silence_ns: of commands, after which the next is a first one; stale_ns: age of joints that are not known."""
        self._names, self._near = robot.joint_names, JOIN_SHARE * robot.following
        self._silence_ns, self._stale_ns = silence_ns, stale_ns
        self._measured: tuple[int, FloatArray] | None = None
        self._passed_ns: int | None = None

    def note(self, q: FloatArray, now_ns: int) -> None:
        """Take in the measured joints, (n,) rad, at `now_ns`, monotonic."""
        self._measured = now_ns, q

    def part(self) -> None:
        """Make the next command a first one."""
        self._passed_ns = None

    def check(self, q: FloatArray, now_ns: int) -> None:
        """Take note of a command (n,) rad. Raises InputError when it is not to be passed on."""
        if self._passed_ns is None or now_ns - self._passed_ns > self._silence_ns:
            self._check_first(q, now_ns)
        self._passed_ns = now_ns

    def _check_first(self, q: FloatArray, now_ns: int) -> None:
        if self._measured is None or now_ns - self._measured[0] > self._stale_ns:
            raise InputError("joint_command: got one while the joints' positions are not known, expected joint_states")
        away = np.abs(q - self._measured[1])
        worst = int((away / self._near).argmax())
        if not away[worst] <= self._near[worst]:
            got = f"a first command {away[worst]:.2f} rad from where {self._names[worst]} is"
            raise InputError(f"joint_command: got {got}, expected at most {self._near[worst]:.2f}")
