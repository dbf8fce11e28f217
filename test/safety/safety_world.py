"""A supervisor in a world where time is an argument, and a referee that knows nothing of how it works."""

from dataclasses import dataclass, replace

import numpy as np

from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.values import JointSample, Proposal
from so_arm_policy.safety.config import SupervisorConfig
from so_arm_policy.safety.supervisor import Supervisor
from so_arm_policy.safety.values import Action, Mode, SupervisorState, TickInput, Verdict

PERIOD_NS = 1_000_000_000 // 120
MONOTONIC_START = 5_000_000_000
ROS_START = 1_700_000_000_000_000_000
DT = 1.0 / 120.0
SLACK = 5e-9  # rad: rounding, in the code and in this check


@dataclass(frozen=True)
class Gap:
    """The nearest pair of one kind, as a clearance tells it."""

    kind: str
    distance_m: float
    first: str = "arm"
    second: str = "wall"


class World:
    """One arm that always is where it was told to be, one source, one supervisor; `step` is one nominal tick."""

    def __init__(self, robot: RobotConfig, source: str = "pid", **config: object) -> None:
        self.robot = robot
        self.n = len(robot.joints)
        self.source = source
        self.supervisor = Supervisor(SupervisorConfig(**config), robot, source)
        self.now_ns = MONOTONIC_START
        self.ros_ns = ROS_START
        self.sequence = 0
        self.q = robot.home.copy()
        self.proposals: dict[str, Proposal] = {}
        self.commands: list[np.ndarray] = []

    def sample(self, **changes: object) -> JointSample:
        made = JointSample(stamp_ns=self.ros_ns, received_ns=self.now_ns, q=self.q.copy(), dq=np.zeros(self.n))
        return replace(made, **changes)

    def proposal(self, q: np.ndarray | None = None, source: str | None = None, **changes: object) -> Proposal:
        self.sequence += 1
        made = Proposal(
            source=source or self.source,
            sequence=self.sequence,
            stamp_ns=self.ros_ns,
            observation_stamp_ns=self.ros_ns,
            received_ns=self.now_ns,
            joint_names=self.robot.joint_names,
            q=np.array(self.robot.home if q is None else q, dtype=float),
        )
        return replace(made, **changes)

    def advance(self, ns: int = PERIOD_NS, ros_ns: int | None = None) -> None:
        self.now_ns += ns
        self.ros_ns += ns if ros_ns is None else ros_ns

    def tick(self, *proposals: Proposal, **changes: object) -> Verdict:
        """Judge now; proposals stay in place until newer ones of the same source come. The arm obeys at once."""
        self.proposals |= {p.source: p for p in proposals}
        tick = TickInput(
            now_ns=self.now_ns, ros_now_ns=self.ros_ns, sample=self.sample(), proposals=dict(self.proposals)
        )
        verdict = self.supervisor.step(replace(tick, **changes))
        check_form(verdict, self.supervisor.state)
        if verdict.command is not None:
            self.commands.append(verdict.command)
            self.q = verdict.command.copy()
        return verdict

    def step(self, q: np.ndarray | None = None, **changes: object) -> Verdict:
        """Advance by one nominal tick and judge a healthy proposal of `q`."""
        self.advance()
        return self.tick(self.proposal(q), **changes)

    def silence(self, **changes: object) -> Verdict:
        """Advance by one nominal tick in which nothing new is said."""
        self.advance()
        return self.tick(**changes)

    def start(self, q: np.ndarray | None = None, ticks: int = 3) -> None:
        """Bring the source to act, at rest at `q`."""
        for _ in range(ticks):
            verdict = self.step(q)
        assert verdict.code == ""

    def carry(self, q: np.ndarray, ticks: int = 60) -> Verdict:
        """Let a hand move the arm to `q` while nothing is said; returns the last verdict."""
        start = self.q.copy()
        self.proposals.clear()
        for k in range(1, ticks + 1):
            self.q = start + (q - start) * k / ticks
            self.advance()
            verdict = self.tick()
        self.q = np.array(q)
        return verdict

    def run_up(self, joint: int = 0, velocity: float = 1.0, ticks: int = 30) -> np.ndarray:
        """Bring one joint to `velocity` within 24 ticks with legal proposals; returns the last one."""
        self.start(self.q)
        q = self.q.copy()
        for k in range(1, ticks + 1):
            q = q.copy()
            q[joint] += velocity / 2.0 * (1.0 - np.cos(np.pi * min(k / 24.0, 1.0))) * DT
            assert self.step(q).code == ""
        return q


def check_form(verdict: Verdict, state: SupervisorState) -> None:
    """Every verdict is whole and of the types it promises, and the state of the next tick as well."""
    assert isinstance(verdict.action, Action)
    assert isinstance(verdict.mode, Mode)
    assert isinstance(verdict.text, str)
    assert (verdict.text == "") == (verdict.code == "") == (verdict.action is Action.PASS)
    assert verdict.source == state.acting
    assert verdict.mode is state.mode
    assert isinstance(verdict.refused, str)
    assert isinstance(verdict.margin, float | None)
    assert isinstance(state.joining, bool)
    assert not state.joining or state.mode in (Mode.ACTIVE, Mode.FALLBACK), "only who acts is still joining"
    assert isinstance(state.letting_go, bool)
    assert verdict.limp is state.limp
    assert not verdict.limp or state.latched is not None, "only what a stop has latched goes limp"
    assert verdict.command is None or not verdict.command.flags.writeable


class Referee:
    """Judges commands one after another by the robot's limits alone."""

    def __init__(self, robot: RobotConfig, start: np.ndarray) -> None:
        self.robot = robot
        self.q = start.copy()
        self.velocity, self.acceleration = np.zeros(len(start)), np.zeros(len(start))

    def look_at(self, q: np.ndarray, frozen: bool = False, stood: bool = False) -> None:
        """frozen: no time has passed; stood: the arm had time to come to rest before this command."""
        if frozen:
            assert np.array_equal(q, self.q)
            return
        if stood:
            self.velocity, self.acceleration = np.zeros_like(q), np.zeros_like(q)
        robot, before, pushed = self.robot, self.velocity, self.acceleration
        self.velocity = (q - self.q) / DT
        self.acceleration = (self.velocity - before) / DT
        assert np.isfinite(q).all()
        assert (q >= np.minimum(robot.lower, self.q) - SLACK).all(), "outside and not moving inward"
        assert (q <= np.maximum(robot.upper, self.q) + SLACK).all(), "outside and not moving inward"
        assert (np.abs(self.velocity) <= robot.velocity + SLACK / DT).all(), "too fast"
        assert (np.abs(self.acceleration) <= robot.acceleration + 2 * SLACK / DT**2).all(), "too sudden"
        assert (np.abs(self.acceleration - pushed) <= robot.jerk * DT + 4 * SLACK / DT**2).all(), "too jerky"
        self.q = q.copy()
        self.check_stop()

    def check_stop(self) -> None:
        """Every joint can still turn round, braking as hard as it may, before its position limit."""
        robot, q, v, a = self.robot, self.q.copy(), self.velocity.copy(), self.acceleration.copy()
        lower, upper = np.minimum(robot.lower, q), np.maximum(robot.upper, q)
        way, at = np.sign(v), q.copy()
        moving = way != 0
        while moving.any():
            a = np.where(way > 0, np.maximum(a - robot.jerk * DT, -robot.acceleration), a)
            a = np.where(way < 0, np.minimum(a + robot.jerk * DT, robot.acceleration), a)
            v = v + a * DT
            moving &= v * way > 0
            at = np.where(moving, at + v * DT, at)
        assert (at >= lower - 1e-7).all(), "cannot stop before its limit"
        assert (at <= upper + 1e-7).all(), "cannot stop before its limit"
