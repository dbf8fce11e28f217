"""One demo from start to stop: the stack as processes, one order after another, nodes killed on request."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol, TypeVar

import rclpy
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from so_arm_policy.core.errors import DeviceError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.evaluate.director import Director
from so_arm_policy.evaluate.recorder import NodeHistory
from so_arm_policy.evaluate.recording import Kill, Outcome, Recording, Try
from so_arm_policy.ros.demo_monitor import DemoMonitor
from so_arm_policy.ros.demo_orders import orders
from so_arm_policy.ros.demo_resets import Resets
from so_arm_policy.ros.executor import Spinner
from so_arm_policy.ros.node_spec import NodeSpec
from so_arm_policy.ros.up import Stack
from so_arm_policy.sim.scene import Scene
from so_arm_policy.sim.tasks.task import Task

UP_WITHIN_S = 90.0
SETTLE_S = 2.0  # what the start costs the machine is not part of the run
POLL_S = 0.02
PICTURED_TRIES = 60  # no report shows the pictures of more
LOOK_S = 0.4  # how long after an instruction its first picture is kept
TAIL_LINES = 12
WIDTH = 28  # of most instructions
STREAMS = ("joint_states", "joint_command", "safety/status", "sim/state")

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class DemoPlan:
    """What a demo does. kills: which nodes end by SIGKILL, and when; names as in the specs."""

    specs: Sequence[NodeSpec]
    robot: RobotConfig
    bundle_id: str
    source: str
    task: Task
    seed: int
    duration_s: float
    kills: tuple[Kill, ...] = ()


class NodeLog:
    """Writes what the nodes print into one file and keeps the last lines of each."""

    def __init__(self, path: Path) -> None:
        """path: of the file."""
        self._file: IO[str] = path.open("w", encoding="utf-8")
        self._lock = threading.Lock()
        self._tails: dict[str, deque[str]] = {}
        self._began = time.monotonic()

    def __call__(self, node: str, line: str) -> None:
        """Take in one line; any thread may call this."""
        with self._lock:
            self._tails.setdefault(node, deque(maxlen=TAIL_LINES)).append(line)
            if not self._file.closed:
                self._file.write(f"{time.monotonic() - self._began:8.3f} {node:18} | {line}\n")
                self._file.flush()

    def tail(self, nodes: Sequence[str]) -> str:
        """Return the last lines of `nodes`."""
        with self._lock:
            return "\n".join(f"  {node} | {line}" for node in nodes for line in self._tails.get(node, ()))

    def close(self) -> None:
        """Close the file; later lines are dropped."""
        with self._lock:
            self._file.close()


class Listener(Protocol):
    """What waits for a stack to come up. heard: the streams and nodes of which something came."""

    heard: set[str]
    scene: Scene | None


L = TypeVar("L", bound=Node)


@contextmanager
def listening(make: Callable[[], L]) -> Iterator[L]:
    """Run a monitor in a thread for as long as the block runs."""
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    monitor = make()
    spinner = Spinner(monitor)
    spinner.start()
    try:
        yield monitor
    finally:
        spinner.stop()
        monitor.destroy_node()
        rclpy.try_shutdown()


def run_demo(plan: DemoPlan, log: NodeLog, say: Say) -> Recording:
    """Run `plan` and return what happened. Raises DeviceError when the stack does not come up in time."""
    with listening(lambda: DemoMonitor(plan.robot)) as monitor, Stack(plan.specs, log) as stack:
        wait_until_up(plan.specs, plan.robot, stack, monitor, log, say)
        return _Run(plan, stack, monitor, say).go()


def wait_until_up(
    specs: Sequence[NodeSpec], robot: RobotConfig, stack: Stack, monitor: Listener, log: NodeLog, say: Say
) -> None:
    """Wait for every node's diagnostics and every stream that flows without an instruction. Raises DeviceError."""
    names = [spec.name for spec in specs]
    wanted = {*names, *STREAMS, *robot.camera_names}
    say(f"starting {', '.join(names)}")
    began = time.monotonic()
    while not wanted <= monitor.heard or monitor.scene is None:
        missing = sorted(wanted - monitor.heard)
        silent = [name for name in names if name in missing]
        if not stack.poll():
            raise DeviceError(f"{stack.failure}\n{log.tail([n for n in names if n in stack.failure])}")
        if time.monotonic() - began > UP_WITHIN_S:
            text = f"the stack: got nothing from {', '.join(missing)} within {UP_WITHIN_S:.0f} s, expected all to be up"
            raise DeviceError(f"{text}\n{log.tail(silent)}".rstrip())
        time.sleep(POLL_S)
    say(f"all up after {time.monotonic() - began:.1f} s")
    settled = time.monotonic() + SETTLE_S
    while time.monotonic() < settled and stack.poll():
        time.sleep(POLL_S)


class _Run:
    """The timed part."""

    def __init__(self, plan: DemoPlan, stack: Stack, monitor: DemoMonitor, say: Say) -> None:
        self._plan, self._stack, self._monitor, self._say = plan, stack, monitor, say
        self._orders = orders(plan.task, plan.seed, monitor)
        self._resets = Resets(monitor)
        self._director = Director(plan.task.time_limit_s, plan.duration_s)
        self._due = sorted(plan.kills, key=lambda kill: kill.time_s)
        self._killed: list[Kill] = []
        self._looked = 0
        self._told_s = 0.0

    def go(self) -> Recording:
        """Run to the end of the duration, or until the stack fails."""
        monitor, stack = self._monitor, self._stack
        restarts_before = stack.restarts
        recorder = monitor.begin()
        while (now_s := monitor.now_s()) < self._plan.duration_s and stack.poll():
            self._kill_what_is_due(now_s)
            self._direct(now_s)
            time.sleep(POLL_S)
        duration_s = min(monitor.now_s(), self._plan.duration_s)
        self._end_of(self._director.finish(duration_s))
        monitor.end()
        restarts, memory = stack.restarts, stack.rss_mib()
        nodes = tuple(
            monitor.histories.get(spec.name, NodeHistory(spec.name)).record(
                starts=1 + restarts[spec.name] - restarts_before[spec.name],
                rss_mib=memory.get(spec.name, float("nan")),
            )
            for spec in self._plan.specs
        )
        return recorder.finish(
            bundle_id=self._plan.bundle_id,
            source=self._plan.source,
            task=self._plan.task.name,
            seed=self._plan.seed,
            duration_s=duration_s,
            tries=tuple(self._director.tries),
            kills=tuple(self._killed),
            nodes=nodes,
            failure=stack.failure,
        )

    def _direct(self, now_s: float) -> None:
        monitor, director = self._monitor, self._director
        self._end_of(director.update(now_s, monitor.reading))
        if director.order is None and not self._resets.waits(now_s):
            order = self._orders.next(now_s)
            if order is not None:
                self._told_s = now_s
                monitor.tell(order)
                director.begin(now_s, order)
        if director.order is not None and self._looked < director.number and now_s - self._told_s >= LOOK_S:
            self._looked = director.number
            self._keep_pictures(director.number, director.order.instruction)

    def _end_of(self, ended: Try | None) -> None:
        if ended is not None:
            self._keep_pictures(ended.number, ended.instruction)
            self._say(progress(ended))

    def _keep_pictures(self, number: int, instruction: str) -> None:
        if number <= PICTURED_TRIES:
            self._monitor.keep_pictures(number, instruction)

    def _kill_what_is_due(self, now_s: float) -> None:
        while self._due and self._due[0].time_s <= now_s:
            node = self._due.pop(0).node
            self._stack.kill(node)
            self._killed.append(Kill(node=node, time_s=self._monitor.now_s()))
            self._say(f"      killed {node}")


def progress(ended: Try) -> str:
    """Return the line for one try that ended."""
    seconds = f"{ended.end_s - ended.start_s:.1f} s"
    text = {
        Outcome.DONE: f"done in {seconds}",
        Outcome.FAILED: f"NOT done in {seconds}, {100 * ended.distance_m:.1f} cm away",
        Outcome.LATE: "not counted, begun too late to have its whole time",
    }[ended.outcome]
    return f"  {ended.number:3}  {ended.instruction:{WIDTH}} {text}"
