"""What one tick of the safety supervisor costs, as a ratio to a bare loop of about 100 us that only counts.

Run it on a quiet machine: `python bench/supervisor.py`. The bare loop is timed in turns with the others, so all see the
same disturbances: its p99 is what the machine itself adds. Times are of the supervisor alone: no ROS, no publishing.
"""

import argparse
import array
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from so_arm_policy.core.process import rss_mib  # noqa: E402
from so_arm_policy.core.robot import RobotConfig  # noqa: E402
from so_arm_policy.core.values import JointSample, Proposal  # noqa: E402
from so_arm_policy.robot.description import load_robot  # noqa: E402
from so_arm_policy.safety.config import SupervisorConfig  # noqa: E402
from so_arm_policy.safety.supervisor import Supervisor  # noqa: E402
from so_arm_policy.safety.values import TickInput  # noqa: E402
from so_arm_policy.sim.clearance import Clearance  # noqa: E402

PERIOD_NS = 1_000_000_000 // 120
START_NS = 10**18
BLOCK = 1000  # ticks of one case in a row before the next case has its turn

Wish = Callable[[RobotConfig, int], np.ndarray]


def legal(robot: RobotConfig, tick: int) -> np.ndarray:
    """A slow motion: every tick passes."""
    return robot.home + 0.05 * np.sin(tick / 60.0)


def clamped(robot: RobotConfig, tick: int) -> np.ndarray:
    """Full reversals: nearly every tick is clamped."""
    return robot.home + 0.1 * (-1.0) ** (tick // 2)


def rejected(robot: RobotConfig, tick: int) -> np.ndarray:
    """Not a number: every tick is rejected."""
    return robot.home * np.nan


def silent(robot: RobotConfig, tick: int) -> None:
    """Nothing proposed: every tick holds."""


CASES: dict[str, Wish] = {"legal": legal, "clamped": clamped, "rejected": rejected, "silent": silent}


class Case:
    """One supervisor fed with one kind of wish; `block` times it tick by tick."""

    def __init__(self, robot: RobotConfig, wish: Wish) -> None:
        """Begin at the robot's home pose."""
        self.robot, self.wish, self.tick = robot, wish, 0
        self.supervisor = Supervisor(SupervisorConfig(), robot, "pid", Clearance(robot))
        self.q = robot.home

    def block(self) -> list[int]:
        """Return the durations of the next ticks, ns. Making the input is not timed."""
        durations = []
        for _ in range(BLOCK):
            tick_input = self._input()
            begin = time.perf_counter_ns()
            verdict = self.supervisor.step(tick_input)
            durations.append(time.perf_counter_ns() - begin)
            if verdict.command is not None:
                self.q = verdict.command
        return durations

    def _input(self) -> TickInput:
        self.tick += 1
        now = START_NS + self.tick * PERIOD_NS
        sample = JointSample(stamp_ns=now, received_ns=now, q=self.q, dq=np.zeros(len(self.q)))
        wanted = self.wish(self.robot, self.tick)
        proposals = {}
        if wanted is not None:
            proposals["pid"] = Proposal(
                source="pid",
                sequence=self.tick,
                stamp_ns=now,
                observation_stamp_ns=now,
                received_ns=now,
                joint_names=self.robot.joint_names,
                q=wanted,
            )
        return TickInput(now_ns=now, ros_now_ns=now, sample=sample, proposals=proposals)


def counts_in(duration_ns: int) -> int:
    """Return how far a bare loop counts in about `duration_ns`."""
    best = min(_count(100_000) for _ in range(5))
    return max(1, 100_000 * duration_ns // best)


def _count(n: int) -> int:
    begin = time.perf_counter_ns()
    for _ in range(n):
        pass
    return time.perf_counter_ns() - begin


def row(name: str, durations: "array.array[int]", bare: np.ndarray) -> str:
    """One line of the table; bare: p50, p99 and p99.9 of the bare loop, ns."""
    values = np.percentile(durations, [50, 99, 99.9])
    figures = " ".join(f"{value / 1000:9.1f}" for value in (*values, max(durations)))
    ratios = " ".join(f"{ratio:9.2f}" for ratio in values / bare)
    return f"{name:26s} {figures}   {ratios}"


def main() -> int:
    """Time every case in turns and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ticks", type=int, default=20_000, help="ticks for each case (default %(default)s)")
    names = [f"{robot} {name}" for robot in ("so101", "so101_bimanual") for name in CASES]
    parser.add_argument("--only", choices=names, action="append", help="one case, or more of them (default: all)")
    args = parser.parse_args()
    cases = {}
    for name in args.only or names:
        robot, wish = name.split()
        cases[name] = Case(load_robot(robot), CASES[wish])
    memory_mib = rss_mib()
    counts = counts_in(100_000)
    durations = {name: array.array("q") for name in ["bare loop", *cases]}
    for turn in range(1 + max(1, args.ticks // BLOCK)):
        blocks = {"bare loop": [_count(counts) for _ in range(BLOCK)]}
        blocks |= {name: case.block() for name, case in cases.items()}
        if turn > 0:  # the first turn warms up
            for name, block in blocks.items():
                durations[name].extend(block)
    bare = np.percentile(durations["bare loop"], [50, 99, 99.9])
    print("one tick of the supervisor: us, and as a ratio to the bare loop of the same run")
    head = " ".join(f"{title:>9s}" for title in ("p50", "p99", "p99.9", "max"))
    print(f"{'':26s} {head}   " + " ".join(f"{title:>9s}" for title in ("p50", "p99", "p99.9")))
    for name, block in durations.items():
        print(row(name, block, bare))
    for name, case in cases.items():
        halves = np.array_split(durations[name], 2)
        growth = np.median(halves[1]) / np.median(halves[0])
        growth99 = np.percentile(halves[1], 99) / np.percentile(halves[0], 99)
        touched = sum(case.supervisor.counts.values()) / case.tick
        print(f"{name}: {touched:.1%} of ticks touched, second half {growth:.2f} x the first (p99 {growth99:.2f} x)")
    kept = sum(map(len, durations.values())) * 8 / 2**20
    print(f"memory: {memory_mib:.1f} MiB before, {rss_mib():.1f} after, of which about {kept:.1f} for the durations")
    return 0


if __name__ == "__main__":
    sys.exit(main())
