"""Judges one live fault by what reached the motors and what the arm did; what the supervisor says is not asked.

Times are seconds of the machine's monotonic clock, taken when a message was sent (DDS notes that by the system's clock,
whatever ROS time does), so that a judge who is kept waiting does not see other times than there were.
"""

from dataclasses import dataclass

import numpy as np

from so_arm_policy.core.arrays import FloatArray, IntArray
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.evaluate.referee import MEASURED_STILL_RAD_S, STANDS, STOOD_TICKS, Ratios, judge_commands
from so_arm_policy.ros.tick_node import SUPERVISOR_PHASE

SPEED_SAMPLES = 4  # a speed is the way over so many samples: one late message must not look like a jump
QUIET_SAMPLES = 12  # 0.1 s: who turns round stands for less
STAYS_RAD = 0.03  # a standing arm settles by less
ASTRAY_RAD = 0.1  # a standing arm lags behind its command by less, unless somebody else commands it, too
MOVES_RAD = 0.3  # an arm that goes on moves by more within the time for which a fault is watched
# A gap between commands after which the arm stood (longer) or not (shorter). In between, a repeated command says that
# it did: the supervisor stands after 30 ms.
SHORT_GAP_S, LONG_GAP_S = 0.02, 0.05
ARM_TOLERANCE = 2.0  # of the velocity limits, for the arm itself: it swings about its commands
SEEN_S = 0.2  # how old the measured pose may be that a command takes up
TAKEN_UP_RAD = 1e-6


@dataclass(frozen=True, kw_only=True, eq=False)
class Series:
    """Joint positions as they were sent: time_s (k,), number (k,) by their publisher's own count, q (k, n) rad.

    began_s: when the ticks began that they are of, (k,): on a busy machine some messages leave much later.
    """

    time_s: FloatArray
    began_s: FloatArray
    number: IntArray
    q: FloatArray

    @property
    def lost(self) -> int:
        """How many messages never came here. A publisher that was started again counts anew."""
        steps = np.diff(self.number)
        return int(np.maximum(steps - 1, 0)[steps > 0].sum())


@dataclass(frozen=True, kw_only=True)
class Rest:
    """How a motion ended after the onset of a fault.

    standstill_s: when it stood, from the onset; None: it did not. moved_again_rad: how far it went from there while
    the fault lasted. furthest_rad: how far any joint went from where it was at the onset.
    """

    standstill_s: float | None
    moved_again_rad: float
    furthest_rad: float

    @property
    def stays(self) -> bool:
        """Whether it came to rest and stayed there."""
        return self.standstill_s is not None and self.moved_again_rad <= STAYS_RAD


def judge_rest(series: Series, onset_s: float, end_s: float, *, patient: bool = False) -> Rest:
    """Find when the joints stood between the onset and the end of a fault, and whether they stayed.

    Joints of which nothing is heard any more stand where they were: a frozen simulator has no physics, and a robot
    without commands keeps the last one. patient: the first rest that lasts counts, not the first of all: the arm may
    stand and go on as long as nobody can have noticed the fault.
    """
    known = series.time_s <= end_s
    time_s, q = series.time_s[known], series.q[known]
    begin = int(np.searchsorted(time_s, onset_s))
    if begin == len(time_s):
        return Rest(standstill_s=0.0, moved_again_rad=0.0, furthest_rad=0.0)
    moving = _speed(time_s, q) > MEASURED_STILL_RAD_S
    furthest = float(np.abs(q[begin:] - q[max(begin - 1, 0)]).max())
    first: Rest | None = None
    silent = end_s - time_s[-1] > QUIET_SAMPLES / CONTROL_HZ
    for k in range(begin, len(time_s)):
        run = moving[k : k + QUIET_SAMPLES]
        last = silent and k == len(time_s) - 1
        if last or (not run.any() and (silent or len(run) == QUIET_SAMPLES)):
            again = float(np.abs(q[k:] - q[k]).max())
            rest = Rest(standstill_s=float(time_s[k]) - onset_s, moved_again_rad=again, furthest_rad=furthest)
            if rest.stays or not patient:
                return rest
            first = first or rest
    return first or Rest(standstill_s=None, moved_again_rad=0.0, furthest_rad=furthest)


def together(arm: Rest, command: Rest) -> Rest:
    """Return the rest of both: it stands when the later one does. The way is the arm's own."""
    ends = (arm.standstill_s, command.standstill_s)
    return Rest(
        standstill_s=None if None in ends else max(end for end in ends if end is not None),
        moved_again_rad=max(arm.moved_again_rad, command.moved_again_rad),
        furthest_rad=arm.furthest_rad,
    )


def astray(commands: Series, arm: Series, end_s: float) -> float:
    """Return how far the arm is at the end of a fault from the last command, rad; 0 for an arm that is not heard."""
    here, told = (int(np.searchsorted(series.time_s, end_s)) - 1 for series in (arm, commands))
    if here < 0 or told < 0 or end_s - arm.time_s[here] > SEEN_S:
        return 0.0
    return float(np.abs(arm.q[here] - commands.q[told]).max())


def judge_limits(robot: RobotConfig, commands: Series, arm: Series) -> Ratios:
    """Return the worst of the commands as multiples of the robot's limits. The first one must stand."""
    if not len(commands.q):
        return Ratios()
    finite = bool(np.isfinite(commands.q).all())
    return judge_commands(robot, commands.q[0], on_ticks(commands, arm), finite) if finite else Ratios(finite=False)


def arm_peak(robot: RobotConfig, arm: Series) -> float:
    """Return the fastest joint as a multiple of its velocity limit; where a robot came back, nothing is measured."""
    if len(arm.q) <= SPEED_SAMPLES:
        return 0.0
    same = np.diff(arm.number) > 0
    run = np.convolve(same, np.ones(SPEED_SAMPLES), mode="valid") == SPEED_SAMPLES
    # A robot moves for one tick in each of its ticks, however late that is.
    passed = np.maximum(arm.number[SPEED_SAMPLES:] - arm.number[:-SPEED_SAMPLES], SPEED_SAMPLES) / CONTROL_HZ
    ratios = (np.abs(arm.q[SPEED_SAMPLES:] - arm.q[:-SPEED_SAMPLES]) / robot.velocity).max(axis=1) / passed
    return float(ratios.max(where=run, initial=0.0))


def on_ticks(commands: Series, arm: Series) -> list[tuple[int, FloatArray]]:
    """Return the commands with the ticks of the supervisor's grid of which they are, as the referee reads them.

    Those that were lost on the way here lie on the line between their neighbours. A command to where the arm was
    measured, standing, begins a new motion there: so a supervisor begins that was started again.
    """
    grid = np.floor(commands.began_s * CONTROL_HZ - SUPERVISOR_PHASE)
    told: list[tuple[int, FloatArray]] = []
    tick = 0
    for k, q in enumerate(commands.q):
        if k:
            before = commands.q[k - 1]
            passed = _passed(commands, k, int(grid[k] - grid[k - 1]), repeated=bool((q == before).all()))
            missing = max(int(commands.number[k] - commands.number[k - 1]) - 1, 0)
            for i in range(missing):
                share = (i + 1) / (missing + 1)
                told.append((tick + round(share * passed), before + share * (q - before)))
            tick += passed
        if _taken_up(arm, float(commands.time_s[k]), q):
            told.append((STANDS, q))
        told.append((tick, q))
    return told


def _passed(commands: Series, k: int, ticks: int, *, repeated: bool) -> int:
    """Return how many ticks after the command before it command `k` was sent."""
    gap_s = float(commands.began_s[k] - commands.began_s[k - 1])
    ticks = max(ticks, 0)
    if gap_s > LONG_GAP_S or (gap_s > SHORT_GAP_S and repeated):
        return max(ticks, STOOD_TICKS)
    return min(ticks, STOOD_TICKS - 1)


def _taken_up(arm: Series, time_s: float, q: FloatArray) -> bool:
    """Whether the arm stood, measured a moment ago, just where command `q` tells it to be."""
    first, last = (int(i) for i in np.searchsorted(arm.time_s, (time_s - SEEN_S, time_s)))
    if last - first <= SPEED_SAMPLES:
        return False
    near = (np.abs(arm.q[first:last] - q) <= TAKEN_UP_RAD).all(axis=1)
    return bool(near.any()) and float(_speed(arm.time_s[first:last], arm.q[first:last]).max()) < MEASURED_STILL_RAD_S


def _speed(time_s: FloatArray, q: FloatArray) -> FloatArray:
    """Return the speed of the fastest joint at each sample, rad/s; 0 at the first ones, of which none is known."""
    speed = np.zeros(len(time_s))
    if len(time_s) > SPEED_SAMPLES:
        passed = np.maximum(time_s[SPEED_SAMPLES:] - time_s[:-SPEED_SAMPLES], SPEED_SAMPLES / CONTROL_HZ)
        speed[SPEED_SAMPLES:] = np.abs(q[SPEED_SAMPLES:] - q[:-SPEED_SAMPLES]).max(axis=1) / passed
    return speed


def speed_now(series: Series) -> float:
    """Return the speed of the fastest joint at the end of a series, rad/s."""
    return float(_speed(series.time_s, series.q)[-1]) if len(series.time_s) else 0.0
