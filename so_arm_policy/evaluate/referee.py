"""The referee: judges what reached the motors and what the physics did, and never asks the supervisor.

It knows the robot's limits, the commands with the times at which they were sent, the true state of the simulator, and
when a fault began and ended. All finite differences are taken over nominal ticks: a command is a step of a servo's
target, meant for one tick.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from so_arm_policy.core.arrays import BoolArray, FloatArray
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.evaluate.contacts import JAW_JOINT, Contact, ContactWatch
from so_arm_policy.evaluate.halt import DT, Halt, gives_way, judge_halt
from so_arm_policy.sim.simulator import Simulator

# A gap this long finds the arm at rest: the servos hold the last command meanwhile. 4 ticks are more than 30 ms.
STOOD_TICKS = 4
MEASURED_STILL_RAD_S = 0.05  # below this the arm counts as standing: it swings out
STANDS = -1  # instead of a tick: the command is where the arm truly stands, and is judged from there
# A limit counts as kept up to this multiple. The range of a joint is wide, so a position must be nearer.
TOLERANCE = 1.01
POSITION_TOLERANCE = 1.0001
SLACK_RAD = 5e-9  # rounding of a position; in accelerations and jerks it grows by 120 each
FOLLOWED_RAD = 1e-6
PRESSING = 0.8  # of the servo's full force
DIFFERENT_RAD = 0.02  # a false value is told from the true one by this much


@dataclass(frozen=True, kw_only=True)
class Ratios:
    """Worst of each quantity as a multiple of the robot's limit: 1 is at it. finite: every command was numbers.

    position: distance from the middle of the range over half the range. A joint that starts outside may stand or move
    inward: up to there it counts as within. burst: distance moved over what the velocity limit and the true time allow,
    for commands that come faster than ticks.
    """

    position: float = 0.0
    velocity: float = 0.0
    acceleration: float = 0.0
    jerk: float = 0.0
    burst: float = 0.0
    finite: bool = True

    @property
    def broken(self) -> tuple[str, ...]:
        """Names of the limits that were not kept."""
        names = [name for name in ("velocity", "acceleration", "jerk", "burst") if getattr(self, name) > TOLERANCE]
        names += ["position"] if self.position > POSITION_TOLERANCE else []
        return tuple(names if self.finite else [*names, "finite"])

    @property
    def worst(self) -> float:
        """The largest of all, infinite for a command that is no number."""
        return max(self.position, self.velocity, self.acceleration, self.jerk, self.burst) if self.finite else math.inf


@dataclass(frozen=True, kw_only=True)
class Findings:
    """All that the referee says about one run. peak_rad_s: fastest measured joint. pull_rad: see Referee.told.

    pressed_s: the longest time for which a servo, other than a gripper's, pushed with PRESSING of its force while its
    joint stood. travel_rad: how far the command went from the onset on, along its way.
    """

    ratios: Ratios
    halt: Halt
    contacts: tuple[Contact, ...]
    peak_rad_s: float
    pull_rad: float
    pressed_s: float
    travel_rad: float


@dataclass
class _Record:
    """What was seen.

    sent: tick and command, in order; landed: ticks in which one went to where the arm stood; in_force: the command of
    each tick. After each tick: q: true positions; arm_speed: of the fastest joint; pressing: whether each servo pushes
    a joint that stands.
    """

    sent: list[tuple[int, FloatArray]] = field(default_factory=list)
    landed: set[int] = field(default_factory=set)
    in_force: list[FloatArray] = field(default_factory=list)
    q: list[FloatArray] = field(default_factory=list)
    arm_speed: list[float] = field(default_factory=list)
    pressing: list[BoolArray] = field(default_factory=list)


class Referee:
    """Watches one run. Each tick: `sent` for every command, then the simulator steps, then `stepped`."""

    def __init__(self, simulator: Simulator) -> None:
        """Stand by a simulator that was just reset: where the arm truly stands is where it may be commanded from."""
        self._robot, self._simulator = simulator.robot, simulator
        self._start = simulator.q.copy()
        # A gripper may push: that is how it holds things.
        self._servos = [simulator.model.actuator(n).id for n in self._robot.joint_names]
        self._full_nm = simulator.model.actuator_forcerange[self._servos, 1].copy()
        self._pushers = np.array([not n.endswith(JAW_JOINT) for n in self._robot.joint_names])
        self._contacts = ContactWatch(simulator)
        self._seen = _Record()
        self._finite, self._pull_rad = True, 0.0

    @property
    def tick(self) -> int:
        """Number of the present tick."""
        return len(self._seen.in_force)

    @property
    def speed(self) -> float:
        """Fastest joint of the command in the last tick, rad/s."""
        return _fastest(self._seen.in_force[-2:])

    @property
    def quickening(self) -> bool:
        """Whether the command did not get slower in the last tick."""
        return self.speed >= 0.999 * _fastest(self._seen.in_force[-3:-1])

    def sent(self, command: FloatArray) -> bool:
        """See a command on its way to the motors; returns whether it is one, so many finite numbers."""
        if np.shape(command) != self._start.shape or not np.isfinite(command).all():
            self._finite = False
            return False
        if self._lands(command):
            self._seen.sent.append((STANDS, self._simulator.q.copy()))
            self._seen.landed.add(self.tick)
        self._seen.sent.append((self.tick, command.copy()))
        return True

    def _lands(self, command: FloatArray) -> bool:
        """Return whether this is the first command, or one that jumps, and leads to where the arm truly stands.

        However far the last command was from there, that moves nothing but for a first step, which is judged.
        """
        q, robot = self._simulator.q, self._robot
        if self._seen.sent and bool((np.abs(command - self._seen.sent[-1][1]) <= robot.velocity * DT).all()):
            return False
        stands = bool((np.abs(self._simulator.dq) < MEASURED_STILL_RAD_S).all())
        return stands and bool((np.abs(command - q) <= robot.velocity * DT).all())

    @np.errstate(over="ignore", invalid="ignore")
    def told(self, honest: FloatArray, false: FloatArray) -> None:
        """Hear, after the command was sent, what the source wanted in this tick and what was made of it, (n,) rad.

        Notes how far the command went towards the false value, beyond both the honest one and the motion it had.
        """
        if len(self._seen.sent) < 3 or np.shape(false) != honest.shape:
            return
        q = [command for _, command in self._seen.sent[-3:]]
        way = np.where(np.isfinite(false), false, honest) - honest
        aside = np.abs(way) > DIFFERENT_RAD
        side = np.sign(way)
        ahead = np.nan_to_num(side * q[2] - np.maximum(side * honest, side * (2.0 * q[1] - q[0])), nan=np.inf)
        self._pull_rad = max(self._pull_rad, float(np.max(ahead, where=aside, initial=0.0)))

    def stepped(self) -> None:
        """See what the physics made of this tick."""
        last = self._seen.sent[-1][1] if self._seen.sent else self._start
        dq, data = np.abs(self._simulator.dq), self._simulator.data
        pushing = np.abs(data.actuator_force[self._servos]) >= PRESSING * self._full_nm
        self._seen.in_force.append(last)
        self._seen.q.append(self._simulator.q.copy())
        self._seen.arm_speed.append(float(dq.max()))
        self._seen.pressing.append(pushing & (dq < MEASURED_STILL_RAD_S) & self._pushers)
        self._contacts.look()

    @np.errstate(over="ignore", invalid="ignore")  # a command of 1e308 rad is a finding, not a reason to warn
    def findings(self, onset: int, end: int) -> Findings:
        """Judge the whole run, and the halt between the ticks `onset` and `end` (not included) of a fault."""
        seen = self._seen
        path = np.array([self._start, *seen.in_force])
        moves = np.diff(path, axis=0)
        still = gives_way(path[:-1], moves, np.array([self._start, *seen.q[:-1]]))
        still[sorted(seen.landed)] = True
        speed = np.linalg.norm(np.where(still, 0.0, moves), axis=1) / DT
        return Findings(
            ratios=judge_commands(self._robot, self._start, seen.sent, self._finite),
            halt=judge_halt(speed, np.array(seen.arm_speed) > MEASURED_STILL_RAD_S, onset, end),
            contacts=tuple(self._contacts.worst.values()),
            peak_rad_s=max(seen.arm_speed, default=0.0),
            pull_rad=self._pull_rad,
            pressed_s=_longest(np.array(seen.pressing)) * DT,
            travel_rad=float(np.abs(moves[onset:end]).sum(axis=0).max(initial=0.0)),
        )


def judge_commands(
    robot: RobotConfig, start: FloatArray, sent: list[tuple[int, FloatArray]], finite: bool = True
) -> Ratios:
    """Judge commands (tick, (n,) rad) one after another, the first as a step from `start`, where the arm stands.

    After a gap of STOOD_TICKS the arm stands; before, a missing command is as a late one. A command that repeats the
    last one to the bit is as a missing one for less than STOOD_TICKS, and after that a stop in one tick.
    """
    judge = _Judge(robot, start)
    for tick, q in sent:
        if tick == STANDS:
            judge.stand(q)
        else:
            judge.step(tick, q)
    return judge.ratios(_burst(robot, sent), finite)


class _Judge:
    """The motion so far and the worst of it; a snapshot of both is kept while a command repeats itself."""

    def __init__(self, robot: RobotConfig, start: FloatArray) -> None:
        zeros = np.zeros(len(start))
        self._robot, self._tick = robot, -1
        self._q, self._v, self._a = start, zeros, zeros
        self._middle, self._half = (robot.upper + robot.lower) / 2.0, (robot.upper - robot.lower) / 2.0
        self._allowed = np.maximum(self._half, np.abs(start - self._middle))
        self._worst = np.zeros(4)
        self._before_repeats: tuple[int, FloatArray, FloatArray, FloatArray] | None = None

    def stand(self, q: FloatArray) -> None:
        """Begin anew, at rest at `q`."""
        self._q, self._v, self._a = q, np.zeros(len(q)), np.zeros(len(q))
        self._allowed = np.maximum(self._half, np.abs(q - self._middle))
        self._before_repeats = None

    def step(self, tick: int, q: FloatArray) -> None:
        """Judge the next command, sent in `tick`."""
        repeated = np.array_equal(q, self._q)
        if repeated and tick == self._tick:
            return  # no time has passed: the same command is no stop
        if tick - self._tick >= STOOD_TICKS:
            self.stand(self._q)
        elif not repeated and self._before_repeats is not None:
            since, self._v, self._a, worst = self._before_repeats
            if tick - since < STOOD_TICKS:
                self._worst = worst
            else:
                self.stand(self._q)
            self._before_repeats = None
        keep = (self._tick, self._v, self._a, self._worst.copy())
        legal = self._add(q)
        if repeated and not legal and self._before_repeats is None:
            self._before_repeats = keep
        self._tick = tick

    def _add(self, q: FloatArray) -> bool:
        robot = self._robot
        v = (q - self._q) / DT
        a = (v - self._v) / DT
        out = np.abs(q - self._middle)
        ratios = np.array(
            [
                (out / self._allowed).max(),
                (np.abs(v) / robot.velocity).max(),
                (np.maximum(np.abs(a) - 2.0 * SLACK_RAD / DT**2, 0.0) / robot.acceleration).max(),
                (np.maximum(np.abs(a - self._a) - 4.0 * SLACK_RAD / DT**2, 0.0) / DT / robot.jerk).max(),
            ]
        )
        ratios = np.nan_to_num(ratios, nan=np.inf)  # the difference of two that overflowed
        self._q, self._v, self._a = q, v, a
        # Who came back inward may not go out again.
        self._allowed = np.maximum(self._half, np.minimum(self._allowed, out))
        self._worst = np.maximum(self._worst, ratios)
        return bool((ratios <= TOLERANCE).all())

    def ratios(self, burst: float, finite: bool) -> Ratios:
        """Return the worst of all."""
        position, velocity, acceleration, jerk = self._worst.tolist()
        return Ratios(
            position=position, velocity=velocity, acceleration=acceleration, jerk=jerk, burst=burst, finite=finite
        )


def _burst(robot: RobotConfig, sent: list[tuple[int, FloatArray]]) -> float:
    """Return the largest share of `v (true time + one tick)` that any run of commands, ending in a burst, has moved."""
    worst, longest = 0.0, 4 * STOOD_TICKS
    for k in range(1, len(sent)):
        if sent[k][0] != sent[k - 1][0]:
            continue
        for i in range(max(0, k - longest), k):
            if any(tick == STANDS for tick, _ in sent[i : k + 1]):
                continue  # the arm was taken up where it stands in between
            allowed = robot.velocity * DT * (sent[k][0] - sent[i][0] + 1)
            worst = max(worst, float((np.abs(sent[k][1] - sent[i][1]) / allowed).max()))
    return worst


def _longest(pressing: BoolArray) -> int:
    """Return the longest run of ticks in which one and the same joint pressed."""
    longest, run = 0, np.zeros(pressing.shape[1:], dtype=np.int64)
    for row in pressing:
        run = np.where(row, run + 1, 0)
        longest = max(longest, int(run.max(initial=0)))
    return longest


def _fastest(path: list[FloatArray]) -> float:
    return float(np.abs(path[1] - path[0]).max()) / DT if len(path) == 2 else 0.0
