"""Does the stack keep 120 Hz? The whole of it, live, beside what the machine itself does at the same time.

    python bench/ticks.py --duration 60

Starts the simulator, cameras, System 2, System 1 and the supervisor as `so-arm demo` does, gives instructions so that
the arm moves, and looks at the supervisor's own ticks and at joint_command as it arrives. In the same seconds, as
processes of their own: the noise floor (the package's tick loop with nothing to do) and a plain rclpy timer. A shared
machine is late by itself, so the ratios are the figures that count; times are from the same run only.
"""

import argparse
import itertools
import json
import math
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from so_arm_policy.ros import environment

environment.prepare()

import rclpy  # noqa: E402
from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from rclpy.node import Node  # noqa: E402
from rclpy.qos import HistoryPolicy, QoSProfile  # noqa: E402
from rclpy.signals import SignalHandlerOptions  # noqa: E402
from std_msgs.msg import String  # noqa: E402
from ticks_loops import arrival_figures  # noqa: E402

from so_arm_policy.core.errors import DeviceError, SoArmError  # noqa: E402
from so_arm_policy.core.ticks import BIN_NS, percentile_ms  # noqa: E402
from so_arm_policy.ros import topics  # noqa: E402
from so_arm_policy.ros.domain import own_domain  # noqa: E402
from so_arm_policy.ros.executor import Spinner  # noqa: E402
from so_arm_policy.ros.stack import stack  # noqa: E402
from so_arm_policy.ros.stack_options import StackOptions  # noqa: E402
from so_arm_policy.ros.up import Stack  # noqa: E402
from so_arm_policy.sim.tasks import make_task  # noqa: E402

LOOPS = Path(__file__).with_name("ticks_loops.py")
CONTROL_NODES = ("simulator", "system2", "system1", "safety_supervisor")
MEMORY_LIMIT_MIB = 1536
READY_S = 90.0
SETTLE_S = 5.0
INSTRUCTION_S = 6.0
EDGES_MS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 8.33, 16.7, math.inf)
BAR = 40
# This process may be late itself: nothing that arrives meanwhile is to be lost.
DEEP = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=200)


@dataclass(frozen=True, kw_only=True)
class Figures:
    """How punctual one loop was. bins: lateness, see core/ticks.py."""

    name: str
    ticks: int
    missed: int
    rate_hz: float
    bins: dict[int, int]

    @staticmethod
    def of(name: str, given: dict[str, Any]) -> "Figures":
        """Read what a loop reported."""
        bins = {int(i): int(n) for i, n in given["bins"].items()}
        rate_hz = float(given["rate_hz"])
        return Figures(name=name, ticks=int(given["ticks"]), missed=int(given["missed"]), rate_hz=rate_hz, bins=bins)

    @property
    def missed_percent(self) -> float:
        """Missed ticks as a share of all that were due."""
        return 100.0 * self.missed / max(self.ticks + self.missed, 1)

    def late_ms(self, percent: float) -> float:
        """Percentile of lateness; 100 is the maximum, to the next 10 us."""
        return percentile_ms(self.bins, percent)


class Listener(Node):
    """Keeps when commands arrive and what the supervisor says of itself, and gives instructions."""

    def __init__(self) -> None:
        """Subscribe."""
        super().__init__("bench_ticks")
        self.arrivals: list[int] = []
        self.supervisor: tuple[int, dict[str, str]] | None = None
        for topic, callback in ((topics.JOINT_COMMAND, self._on_command), (topics.DIAGNOSTICS, self._on_diagnostics)):
            self.create_subscription(topic.type, topic.name, callback, DEEP)
        self._instructions = self.create_publisher(String, topics.INSTRUCTION.name, topics.LATCHED)

    def instruct(self, text: str) -> None:
        """Say what to do."""
        self._instructions.publish(String(data=text))

    def next_report(self, after_ns: int) -> tuple[int, dict[str, str]]:
        """Wait for the supervisor's first report after `after_ns`; returns when it came and its values."""
        deadline = time.monotonic() + READY_S
        while self.supervisor is None or self.supervisor[0] <= after_ns:
            if time.monotonic() > deadline:
                raise DeviceError(f"supervisor: got no report for {READY_S:.0f} s, expected one a second")
            time.sleep(0.01)
        return self.supervisor

    def _on_command(self, msg: Any) -> None:
        self.arrivals.append(time.monotonic_ns())

    def _on_diagnostics(self, msg: DiagnosticArray) -> None:
        for status in msg.status:
            if status.name.endswith("safety_supervisor"):
                self.supervisor = (time.monotonic_ns(), {v.key: v.value for v in status.values})


def difference(before: tuple[int, dict[str, str]], after: tuple[int, dict[str, str]]) -> Figures:
    """Figures of the supervisor's ticks between two of its reports."""
    first, last = ({int(i): n for i, n in json.loads(r[1]["lateness_histogram_10us"]).items()} for r in (before, after))
    ticks, missed = (int(after[1][k]) - int(before[1][k]) for k in ("ticks", "ticks_missed"))
    bins = {i: n - first.get(i, 0) for i, n in last.items() if n > first.get(i, 0)}
    seconds = (after[0] - before[0]) / 1e9
    return Figures(name="supervisor, own ticks", ticks=ticks, missed=missed, rate_hz=ticks / seconds, bins=bins)


def start_loop(role: str, seconds: float) -> "subprocess.Popen[str]":
    """Start one of the loops to compare with."""
    return subprocess.Popen([sys.executable, str(LOOPS), role, str(seconds)], stdout=subprocess.PIPE, text=True)


def measure(options: StackOptions, seconds: float) -> tuple[list[Figures], dict[str, float], dict[str, int]]:
    """Run everything; returns the figures, memory of each node in MiB, and how often nodes were started again."""
    task = make_task(options.task)
    texts = itertools.cycle(task.instructions(task.sample(options.seed).scene))
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    listener = Listener()
    spinner = Spinner(listener)
    spinner.start()
    log = Path("out") / "bench_ticks.log"
    log.parent.mkdir(exist_ok=True)
    with log.open("w") as file, Stack(stack(options), lambda node, line: print(f"{node} | {line}", file=file)) as nodes:
        wait_ready(listener, nodes, next(texts))
        loops = {role: start_loop(role, seconds) for role in ("floor", "timer")}
        began_ns = time.monotonic_ns()
        before = listener.next_report(began_ns)
        while time.monotonic_ns() - began_ns < seconds * 1e9:
            listener.instruct(next(texts))
            turn_end = time.monotonic() + INSTRUCTION_S
            while time.monotonic() < turn_end and time.monotonic_ns() - began_ns < seconds * 1e9:
                nodes.poll()
                time.sleep(0.25)
        after = listener.next_report(time.monotonic_ns())
        outputs = {role: json.loads(process.communicate(timeout=60)[0]) for role, process in loops.items()}
        memory = nodes.rss_mib()
        arrivals = [at for at in listener.arrivals if before[0] <= at <= after[0]]
    spinner.stop()
    listener.destroy_node()
    rclpy.try_shutdown()
    figures = [
        Figures.of("noise floor, bare grid", outputs["floor"]),
        difference(before, after),
        Figures.of("joint_command, arrival", arrival_figures(arrivals)),
        Figures.of("plain rclpy timer", outputs["timer"]),
    ]
    return figures, memory, nodes.restarts


def wait_ready(listener: Listener, nodes: Stack, text: str) -> None:
    """Wait until the policy moves the arm, and a little longer. Raises DeviceError."""
    deadline = time.monotonic() + READY_S
    listener.instruct(text)
    while listener.supervisor is None or listener.supervisor[1]["mode"] != "ACTIVE":
        if not nodes.poll() or time.monotonic() > deadline:
            raise DeviceError(f"stack: got {nodes.failure or 'no motion'}, expected it to run (out/bench_ticks.log)")
        time.sleep(0.1)
    time.sleep(SETTLE_S)


def print_table(figures: list[Figures]) -> None:
    """Print one line for each loop."""
    columns = ("mean Hz", "ticks", "missed", "missed %", "p50 ms", "p99 ms", "p99.9 ms", "max ms")
    print(f"{'':24} {' '.join(f'{c:>8}' for c in columns)}")
    for f in figures:
        late = " ".join(f"{f.late_ms(p):8.2f}" for p in (50, 99, 99.9, 100))
        print(f"{f.name:24} {f.rate_hz:8.2f} {f.ticks:8d} {f.missed:8d} {f.missed_percent:8.3f} {late}")


def print_ratios(floor: Figures, supervisor: Figures, timer: Figures) -> bool:
    """Print the figures that count, with what they should be; True when they are."""
    ratio = supervisor.late_ms(99) / floor.late_ms(99)
    more = supervisor.missed_percent - floor.missed_percent
    print(f"\nsupervisor p99 / noise floor p99    {ratio:6.2f}   (at most 2)")
    print(f"missed, supervisor - noise floor    {more:+6.3f} % (at most +0.1 %)")
    print(f"plain timer p99 / supervisor p99    {timer.late_ms(99) / supervisor.late_ms(99):6.2f}   (above 1: better)")
    print(f"missed, plain timer - supervisor    {timer.missed_percent - supervisor.missed_percent:+6.3f} %")
    return ratio <= 2.0 and more <= 0.1


def print_histogram(figures: list[Figures]) -> None:
    """Print the share of ticks by lateness."""
    print("\nlateness, share of ticks")
    for f in figures:
        print(f"  {f.name}")
        total, low_ms = sum(f.bins.values()), 0.0
        for high_ms in EDGES_MS:
            count = sum(n for i, n in f.bins.items() if low_ms <= i * BIN_NS / 1e6 < high_ms)
            share = count / total
            print(f"    {low_ms:6.2f} to {high_ms:6.2f} ms {100 * share:7.2f} % {'#' * round(BAR * share)}")
            low_ms = high_ms


def print_memory(memory: dict[str, float]) -> bool:
    """Print resident memory; True when the control nodes stay below the limit."""
    print("\nresident memory, MiB")
    for name, mib in memory.items():
        print(f"  {name:20} {mib:7.0f}{'  control' if name in CONTROL_NODES else ''}")
    total = sum(memory.get(name, math.nan) for name in CONTROL_NODES)
    print(f"  {'control nodes':20} {total:7.0f}  (below {MEMORY_LIMIT_MIB})")
    return total < MEMORY_LIMIT_MIB


def main() -> int:
    """Measure and print; the exit code is 1 when a figure is not what it should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--duration", type=float, default=60.0, help="seconds measured")
    parser.add_argument("--bundle", default=StackOptions.bundle, help="policy: a shipped name or a folder")
    parser.add_argument("--seed", type=int, default=0, help="seed of the scene")
    parser.add_argument("--cores", type=int, default=2, help="CPUs that everything together may use")
    args = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.cores])
    try:
        with own_domain():
            figures, memory, restarts = measure(StackOptions(bundle=args.bundle, seed=args.seed), args.duration)
    except SoArmError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{args.duration:.0f} s on {len(os.sched_getaffinity(0))} CPUs\n")
    print_table(figures)
    punctual = print_ratios(figures[0], figures[1], figures[3])
    print_histogram(figures)
    small = print_memory(memory)
    if any(restarts.values()):
        print(f"\nstarted again: {restarts}")
    return 0 if punctual and small and not any(restarts.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
