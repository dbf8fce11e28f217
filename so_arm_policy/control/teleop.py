"""The source `teleop`: the arm follows a leader arm that a person moves, while a clutch is engaged.

Engaged, the arm first comes to where the leader is, slowly and with all joints arriving together, and only then follows
at full speed. It does not follow relative to where the two were: a leader that shows another pose than the arm has
misleads whoever moves it, and an offset that fades moves the arm as well, only for longer and unseen.
"""

from dataclasses import dataclass
from enum import Enum

import numpy as np

from so_arm_policy.control.tracking import Tracker
from so_arm_policy.core.arrays import FloatArray, vector
from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.timegrid import CONTROL_HZ, NS
from so_arm_policy.core.values import JointSample

FUTURE_NS = NS // 50  # as the supervisor's future_tolerance_s
HAND_RAD_S = 10.0  # no hand turns a joint of the leader faster


class Clutch(Enum):
    """Open: the arm stays. Coming: it moves to the leader's pose, slowly. Following: it is there, and follows."""

    OPEN = "open"
    COMING = "coming"
    FOLLOWING = "following"


@dataclass(frozen=True, kw_only=True)
class TeleopConfig:
    """How the arm follows its leader.

    coming_rad_s: of the fastest joint on the way to the leader. joined_rad: nearer than this, in every joint, it
    follows. silent_s: oldest leader that is followed. grace_s: the clutch opens when the arm could not follow for
    longer; after less it comes to the leader anew. jump_rad: a reading that is this much further from the last than a
    hand can move it opens the clutch.
    """

    coming_rad_s: float = 0.5
    joined_rad: float = 0.05
    silent_s: float = 0.1
    grace_s: float = 0.5
    jump_rad: float = 0.3

    def __post_init__(self) -> None:
        """Refuse what is no speed, distance or time, or too much of it. Raises ConfigError."""
        most = {"coming_rad_s": 1.5, "joined_rad": 0.2, "silent_s": 0.5, "grace_s": 2.0, "jump_rad": 1.0}
        for name, largest in most.items():
            if not 0.0 < getattr(self, name) <= largest:
                raise ConfigError(f"teleop: got {name} {getattr(self, name)}, expected 0 < {name} <= {largest}")


class Teleop:
    """Brings the arm to its leader and keeps it there. One thread at a time.

    opened: why the clutch opened by itself the last time, "" once it is engaged again.
    """

    name = "teleop"

    def __init__(self, config: TeleopConfig, robot: RobotConfig, leader: RobotConfig | None = None) -> None:
        """leader: description of the leader; by default it is like the robot. Raises ConfigError."""
        self._config, self._robot = config, robot
        leader = robot if leader is None else leader
        if leader.joint_names != robot.joint_names:
            got = f"joints {list(leader.joint_names)} of {leader.name}"
            raise ConfigError(f"leader: got {got}, expected {list(robot.joint_names)} of {robot.name}")
        self._leader = leader
        self._grippers = np.array([name.endswith("gripper") for name in robot.joint_names])
        self._clutch, self.opened = Clutch.OPEN, ""
        self._led: tuple[int, FloatArray] | None = None  # stamp, and the leader's joints
        self._tracker: Tracker | None = None
        self._last_ns = 0
        self._lost_ns: int | None = None

    @property
    def clutch(self) -> Clutch:
        """Whether the arm follows."""
        return self._clutch

    def lead(self, stamp_ns: int, q: FloatArray) -> None:
        """Take in where the leader is: q (n,) rad at `stamp_ns`, ROS time. A jump opens the clutch.

        Raises InputError for a stamp that is no newer than the last, and forgets the reading; ShapeError.
        """
        led = vector(q, len(self._robot.joints), "leader")
        if self._led is not None:
            before_ns, before = self._led
            if 0 <= before_ns - stamp_ns < NS:  # further back the clock was set, or the node began anew
                back_ms = (before_ns - stamp_ns) / 1e6
                raise InputError(f"leader: got a stamp {back_ms:.1f} ms back, expected a newer one")
            allowed = self._config.jump_rad + HAND_RAD_S * max(stamp_ns - before_ns, 0) / NS
            worst = int(np.abs(led - before).argmax())
            if not abs(led[worst] - before[worst]) <= allowed:
                name = self._robot.joint_names[worst]
                self._open(f"the leader's {name} jumped by {led[worst] - before[worst]:+.2f} rad")
        self._led = stamp_ns, led

    def engage(self, now_ns: int) -> None:
        """Let the arm come and follow. Raises InputError, and changes nothing, when there is nothing to follow."""
        trouble = self._trouble(now_ns)
        if trouble:
            raise InputError(f"clutch: {trouble}, expected a leader to follow")
        if self._clutch is Clutch.OPEN:
            self._clutch, self.opened, self._lost_ns = Clutch.COMING, "", None

    def release(self, why: str = "") -> None:
        """Let the arm brake and stay. why: what for, unless the person who has the clutch asked for it."""
        if why:
            self._open(why)
        self._clutch = Clutch.OPEN

    def reset(self) -> None:
        """Nobody follows: the next command is the measured pose."""
        self._tracker = None

    def led_ns(self, otherwise_ns: int) -> int:
        """Return the stamp of the leader that is followed, or `otherwise_ns`."""
        return otherwise_ns if self._led is None or self._clutch is Clutch.OPEN else self._led[0]

    def command(self, now_ns: int, sample: JointSample) -> tuple[FloatArray, FloatArray]:
        """Return position (n,) rad and velocity (n,) rad/s for `now_ns`."""
        fresh = self._tracker is None
        if self._tracker is None:
            self._tracker = Tracker(self._robot, vector(sample.q, len(self._robot.joints), "measured pose"))
        trouble = self._trouble(now_ns)
        self._note(now_ns, "the arm was held" if fresh else trouble)
        # A late tick must not turn into a large step: at most two ticks are made up for.
        dt = min(max(0, now_ns - self._last_ns) / NS, 2.0 / CONTROL_HZ)
        self._last_ns = now_ns
        if not fresh and dt > 0.0:
            self._step(self._tracker, bool(trouble), dt)
        return self._tracker.q, self._tracker.dq

    def _step(self, tracker: Tracker, stays: bool, dt: float) -> None:
        if self._clutch is Clutch.OPEN or stays or self._led is None:
            tracker.step(tracker.q, np.zeros_like(tracker.q), dt)
            return
        target = self._wanted(self._led[1])
        away = np.abs(target - tracker.q)
        if self._clutch is Clutch.COMING and away.max() <= self._config.joined_rad:
            self._clutch = Clutch.FOLLOWING
        velocity = self._robot.velocity
        if self._clutch is Clutch.COMING:
            velocity = np.minimum(velocity, self._config.coming_rad_s * away / away.max())
        tracker.step(target, velocity, dt)

    def _wanted(self, led: FloatArray) -> FloatArray:
        """Return where the arm is to be: the leader's angles; of grippers, the same share of their range."""
        robot, leader = self._robot, self._leader
        share = (led - leader.lower) / (leader.upper - leader.lower)
        gripped = robot.lower + share * (robot.upper - robot.lower)
        return np.clip(np.where(self._grippers, gripped, led), robot.lower, robot.upper)

    def _trouble(self, now_ns: int) -> str:
        """Return why the leader cannot be followed now, or ""."""
        if self._led is None:
            return "the leader has not been heard"
        age_ns = now_ns - self._led[0]
        if age_ns > self._config.silent_s * NS:
            return f"the leader has been silent for {age_ns / NS:.2f} s"
        if age_ns < -FUTURE_NS:
            return f"the leader is stamped {-age_ns / NS:.2f} s ahead of now"
        return ""

    def _note(self, now_ns: int, lost: str) -> None:
        """Come to the leader anew after the arm could not follow for a moment; open the clutch after longer."""
        if self._clutch is Clutch.OPEN or not lost:
            self._lost_ns = None
            return
        self._clutch = Clutch.COMING
        if self._lost_ns is None or now_ns < self._lost_ns:
            self._lost_ns = now_ns
        if now_ns - self._lost_ns > self._config.grace_s * NS:
            self._open(lost)

    def _open(self, why: str) -> None:
        if self._clutch is not Clutch.OPEN:
            self._clutch, self.opened = Clutch.OPEN, why
