"""What hand-crafted control costs: a tick of each controller, and a planned motion beside plain OMPL's.

    python bench/control.py --queries 200

A tick is timed in turns with a bare loop of about 100 us that only counts, and told as a ratio to it, too: a busy
machine slows down both. Planning: free poses on random tables, a third of them anywhere, a third with the fingertip low
among the things, a third likewise where the straight line is blocked. Each query goes to every planner in turn, all
with the same checker at the same resolution; "OMPL" is its RRT-Connect with its own range and nothing else, "OMPL
simplified" with its PathSimplifier after it. How often the checker was asked does not depend on the machine.
"""

import argparse
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np  # noqa: E402
from mujoco import MjModel  # noqa: E402
from ompl import base, geometric, util  # noqa: E402

from so_arm_policy.control.hold import Hold  # noqa: E402
from so_arm_policy.control.ik import ArmIk  # noqa: E402
from so_arm_policy.control.motion.clear import Clear  # noqa: E402
from so_arm_policy.control.motion.config import PlannerConfig  # noqa: E402
from so_arm_policy.control.motion.planner import PLANNERS, MotionPlanner  # noqa: E402
from so_arm_policy.control.motion.query import PlanError  # noqa: E402
from so_arm_policy.control.motion.timing import time_path  # noqa: E402
from so_arm_policy.control.pid import JointPid, PidConfig  # noqa: E402
from so_arm_policy.control.source import Source  # noqa: E402
from so_arm_policy.control.tabletop import Tabletop, Thing  # noqa: E402
from so_arm_policy.control.thing_servo import ThingServo, pid_source, servo_source  # noqa: E402
from so_arm_policy.core.arrays import FloatArray  # noqa: E402
from so_arm_policy.core.errors import InputError  # noqa: E402
from so_arm_policy.core.objects import HALF_SIZES  # noqa: E402
from so_arm_policy.core.robot import RobotConfig  # noqa: E402
from so_arm_policy.core.timegrid import CONTROL_HZ, TimeGrid  # noqa: E402
from so_arm_policy.core.values import JointSample  # noqa: E402
from so_arm_policy.robot.description import load_robot  # noqa: E402
from so_arm_policy.sim.arm_model import arm_spec  # noqa: E402
from so_arm_policy.sim.planning_scene import PlanningScene  # noqa: E402
from so_arm_policy.sim.scene import EVERYTHING, random_scene  # noqa: E402
from so_arm_policy.sim.simulator import Simulator  # noqa: E402
from so_arm_policy.sim.truth import tabletop_of  # noqa: E402

GRID = TimeGrid(origin_ns=10**18)
BLOCK = 500  # ticks of one controller in a row before the next one has its turn
ITERATIONS = 5_000
GROUPS = ("anywhere", "low", "blocked")

Tick = Callable[[int], object]
Plan = Callable[[FloatArray, FloatArray, Clear, int], FloatArray | None]


def source_ticks(source: Source, robot: RobotConfig) -> Tick:
    """Ticks of `source`, whose commands the measured joints follow with a lag."""
    q = robot.home.copy()

    def tick(number: int) -> None:
        nonlocal q
        now = GRID.due_ns(number)
        command = source.command(now, JointSample(stamp_ns=now, received_ns=now, q=q, dq=np.zeros(len(q))))
        if command is not None:
            q = q + 0.2 * (command[0] - q)

    return tick


def pid_ticks(robot: RobotConfig) -> Tick:
    """On the way to a goal that changes every 2 s."""
    pid = JointPid(PidConfig(), robot)
    tick = source_ticks(pid, robot)

    def with_goals(number: int) -> None:
        if number % 240 == 0:
            pid.set_goal(robot.rest if number % 480 else robot.home)
        tick(number)

    return with_goals


def thing_ticks(make: Callable[[MjModel, RobotConfig], ThingServo], robot: RobotConfig) -> Tick:
    """The fingertip stays with a cube that circles at 3 cm/s and is seen 30 times a second; told anew every 8 s."""
    source = make(arm_spec().compile(), robot)
    middle, height = np.array([0.2, 0.0]), float(HALF_SIZES["cube"][2])

    def seen(number: int) -> None:
        angle = number / CONTROL_HZ * 0.03 / 0.05
        at = [*(middle + 0.05 * np.array([np.cos(angle), np.sin(angle)])), height]
        cube = Thing(color="red", kind="cube", position=np.array(at), R_world_thing=np.eye(3))
        source.see(Tabletop(things=(cube,), places={}), GRID.due_ns(number))

    tick = source_ticks(source, robot)

    def with_pictures(number: int) -> None:
        if number % 960 == 0:
            source.reset()
            source.tell("follow the red cube")
        if number % 4 == 0:
            seen(number)
        tick(number)

    return with_pictures


def motion_ticks(robot: RobotConfig) -> Tick:
    """A planned motion is sampled; every 4 s from the start."""
    planner = MotionPlanner(PlannerConfig(), robot)
    path = np.random.default_rng(0).uniform(robot.lower, robot.upper, (8, len(robot.joints)))
    motion = time_path(path, planner.limits).motion
    return lambda number: motion.at(number % 480 / 120)


CONTROLLERS: dict[str, Callable[[RobotConfig], Tick]] = {
    "hold": lambda robot: source_ticks(Hold(), robot),
    "pid, of joints": pid_ticks,
    "pid, Cartesian": partial(thing_ticks, pid_source),
    "servo": partial(thing_ticks, servo_source),
    "planned motion, sampled": motion_ticks,
}


def count(n: int) -> None:
    """The bare loop."""
    for _ in range(n):
        pass


def loops_in(seconds: float) -> int:
    """How far the bare loop counts in that time when nothing disturbs it."""
    taken = []
    for _ in range(20):
        begin = time.perf_counter()
        count(100_000)
        taken.append(time.perf_counter() - begin)
    return int(seconds / min(taken) * 100_000)


def time_ticks(ticks: int) -> None:
    """Print the table of the controllers."""
    loops = loops_in(1e-4)
    cases: dict[str, Tick] = {"bare loop": lambda _: count(loops)}
    for name in ("so101", "so101_bimanual"):
        cases |= {f"{name}: {what}": make(load_robot(name)) for what, make in CONTROLLERS.items()}
    times: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(1 + math.ceil(ticks / BLOCK)):
        for name, tick in cases.items():
            for i in range(turn * BLOCK, (turn + 1) * BLOCK):
                start = time.perf_counter_ns()
                tick(i)
                if turn > 0:  # the first turn warms up
                    times[name].append((time.perf_counter_ns() - start) / 1e3)
    bare = np.percentile(times["bare loop"], [50, 99, 99.9])
    print(f"one tick, us, and as a ratio to the bare loop of the same run ({len(times['bare loop'])} ticks each)")
    print(f"{'':40s}{'p50':>9s}{'p99':>9s}{'p99.9':>9s}   {'p50':>7s}{'p99':>7s}{'p99.9':>7s}")
    for name, found in times.items():
        values = np.percentile(found, [50, 99, 99.9])
        ratios = "".join(f"{ratio:7.2f}" for ratio in values / bare)
        print(f"{name:40s}" + "".join(f"{value:9.1f}" for value in values) + f"   {ratios}")


class Asked:
    """A checker that counts how often it is asked."""

    def __init__(self, clear: Clear) -> None:
        """Ask `clear`."""
        self._clear, self.times = clear, 0

    def __call__(self, q: FloatArray) -> object:
        """Return what it says."""
        self.times += 1
        return self._clear(q)


def ours(name: str, robot: RobotConfig) -> Plan:
    """`MotionPlanner.plan`."""
    planner = MotionPlanner(PlannerConfig(planner=name, iterations=ITERATIONS), robot)

    def plan(start: FloatArray, goal: FloatArray, clear: Clear, seed: int) -> FloatArray | None:
        try:
            return planner.plan(start, [goal], clear, seed=seed)
        except PlanError:
            return None

    return plan


def plain(robot: RobotConfig, *, simplified: bool) -> Plan:
    """OMPL's RRT-Connect, as one would use it without this package."""
    space = base.RealVectorStateSpace(len(robot.joints))
    bounds = base.RealVectorBounds(len(robot.joints))
    for i, joint in enumerate(robot.joints):
        bounds.setLow(i, joint.lower)
        bounds.setHigh(i, joint.upper)
    space.setBounds(bounds)
    space.setLongestValidSegmentFraction(PlannerConfig().resolution_rad / space.getMaximumExtent())

    def plan(start: FloatArray, goal: FloatArray, clear: Clear, seed: int) -> FloatArray | None:
        util.RNG.setSeed(seed + 1)
        info = base.SpaceInformation(space)
        joints = range(len(start))
        info.setStateValidityChecker(lambda state: clear(np.array([state[i] for i in joints])).room_m > 0.0)
        info.setup()
        problem = base.ProblemDefinition(info)
        ends = space.allocState(), space.allocState()
        for state, q in zip(ends, (start, goal), strict=True):
            for i in joints:
                state[i] = float(q[i])
        problem.setStartAndGoalStates(*ends)
        planner = geometric.RRTConnect(info)
        planner.setProblemDefinition(problem)
        planner.setup()
        left = iter(range(ITERATIONS))
        planner.solve(base.PlannerTerminationCondition(lambda: next(left, None) is None))
        if not problem.hasExactSolution():
            return None
        path = problem.getSolutionPath()
        if simplified:
            geometric.PathSimplifier(info).simplifyMax(path)
        return np.array([[state[i] for i in joints] for state in path.getStates()])

    return plan


@dataclass
class Tally:
    """What one planner did. plan_ms: of all queries; the others of those that it solved."""

    plan_ms: list[float] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    length_rad: list[float] = field(default_factory=list)
    motion_s: list[float] = field(default_factory=list)
    time_ms: list[float] = field(default_factory=list)


def pose(robot: RobotConfig, ik: ArmIk, clear: Clear, rng: np.random.Generator, *, low: bool) -> FloatArray:
    """A free pose: anywhere within the limits, or with the fingertip 2 to 6 cm above the table where things stand."""
    while True:
        q = rng.uniform(robot.lower, robot.upper)
        if low:
            radius, angle = rng.uniform(0.15, 0.30), rng.uniform(-1.4, 1.4)
            point = np.array([radius * math.cos(angle), radius * math.sin(angle), rng.uniform(0.02, 0.06)])
            try:
                q = ik.solve(point, robot.home, roll=rng.uniform(-1.5, 1.5), tolerance_m=5e-3)
            except InputError:
                continue
        if clear(q).room_m > 0.0:
            return q


def is_free(start: FloatArray, goal: FloatArray, clear: Clear) -> bool:
    """Whether the straight line is."""
    count = math.ceil(np.linalg.norm(goal - start) / PlannerConfig().resolution_rad)
    return all(clear(start + k / count * (goal - start)).room_m > 0.0 for k in range(count + 1))


def time_plans(queries: int) -> None:
    """Print the table of the planners."""
    util.setLogLevel(util.LogLevel.LOG_NONE)
    robot = load_robot("so101")
    planners = {"OMPL": plain(robot, simplified=False), "OMPL simplified": plain(robot, simplified=True)}
    planners |= {name: ours(name, robot) for name in PLANNERS}
    timer = MotionPlanner(PlannerConfig(), robot)
    simulator, scene = Simulator(robot, random_scene(0)), PlanningScene(robot)
    ik = ArmIk(arm_spec().compile(), robot)
    tallies = {where: {name: Tally() for name in planners} for where in GROUPS}
    straight = dict.fromkeys(tallies, 0)
    for seed in range(queries):
        rng = np.random.default_rng(seed)
        simulator.reset(random_scene(seed, EVERYTHING))
        scene.show(tabletop_of(simulator))
        where = GROUPS[seed % len(GROUPS)]
        while True:
            start, goal = (pose(robot, ik, scene.near, rng, low=where != "anywhere") for _ in range(2))
            if where != "blocked" or not is_free(start, goal, scene.near):
                break
        for name, plan in planners.items():
            path = run(plan, start, goal, scene.near, seed, timer, tallies[where][name])
            straight[where] += name == "rrt_connect" and path is not None and len(path) == 2
    for where, found in tallies.items():
        number = len(found["OMPL"].plan_ms)
        if number:
            print(f"\n{number} queries, poses {where}; the straight line was free in {straight[where]}")
            print_plans(found)


def run(
    plan: Plan, start: FloatArray, goal: FloatArray, clear: Clear, seed: int, timer: MotionPlanner, tally: Tally
) -> FloatArray | None:
    """Time one query, and the timing of its path."""
    asked = Asked(clear)
    begin = time.perf_counter()
    path = plan(start, goal, asked, seed)
    tally.plan_ms.append((time.perf_counter() - begin) * 1e3)
    tally.asked.append(asked.times)
    if path is not None:
        begin = time.perf_counter()
        motion = timer.timed(path, clear)
        tally.time_ms.append((time.perf_counter() - begin) * 1e3)
        tally.length_rad.append(float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum()))
        tally.motion_s.append(motion.duration_s)
    return path


def print_plans(found: dict[str, Tally]) -> None:
    """Print one line for each planner, with ratios to the first."""
    columns = ("solved", "plan p50 ms", "p95", "asked p50", "p95", "length rad", "motion s", "timing ms", "to OMPL:")
    print(f"{'':16s}" + "".join(f"{c:>12s}" for c in (*columns, "plan p50", "p95", "asked", "motion")))
    base_line = figures(next(iter(found.values())))
    for name, tally in found.items():
        values = figures(tally)
        ratios = [values[i] / base_line[i] for i in (1, 2, 3, 6)]
        share = f"{len(tally.length_rad)}/{len(tally.plan_ms)}"
        print(f"{name:16s}{share:>12s}" + "".join(f"{v:12.2f}" for v in values[1:]) + " " * 12, end="")
        print("".join(f"{ratio:12.2f}" for ratio in ratios))


def figures(tally: Tally) -> list[float]:
    """Share solved; plan ms p50 and p95; asked p50 and p95; mean length, duration and time of timing."""
    means = [float(np.mean(v)) if v else math.nan for v in (tally.length_rad, tally.motion_s, tally.time_ms)]
    spread = [float(p) for v in (tally.plan_ms, tally.asked) for p in np.percentile(v, [50, 95])]
    return [len(tally.length_rad) / len(tally.plan_ms), *spread, *means]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=200, help="random queries of the planners (default %(default)s)")
    parser.add_argument("--ticks", type=int, default=20_000, help="ticks of each controller (default %(default)s)")
    args = parser.parse_args()
    if args.queries < 1 or args.ticks < 1:
        parser.error("expected at least one query and one tick")
    time_ticks(args.ticks)
    time_plans(args.queries)
    return 0


if __name__ == "__main__":
    sys.exit(main())
