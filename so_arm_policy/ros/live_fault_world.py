"""A running stack to hurt: its processes, what it is heard to do, what moves its arm, and how to ask it things."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import DeviceError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.timegrid import CONTROL_HZ, NS
from so_arm_policy.msg import SafetyStatus
from so_arm_policy.robot.description import load_robot
from so_arm_policy.ros import convert, topics
from so_arm_policy.ros.live_fault_drivers import DRIVERS, Driver, WorldClock
from so_arm_policy.ros.live_fault_judge import Series, speed_now
from so_arm_policy.ros.node_spec import NodeSpec
from so_arm_policy.ros.stack import stack
from so_arm_policy.ros.stack_options import StackOptions, resolved
from so_arm_policy.ros.up import Log, Stack
from so_arm_policy.srv import SelectSource

UP_WITHIN_S = 120.0
ANSWER_S = 10.0
POLL_S = 0.01
RECENT = 2 * CONTROL_HZ
DEPTH = 512  # of the queues here: who listens may be kept waiting, and must not count fewer messages than were sent
OURS = "live_faults"  # the frame of commands and states that a fault sends, which nobody else's name may be
PID_SPEED_RAD_S = 1.8  # three quarters of what the shipped arm may do


class Clocked(Enum):
    """Whose clock the stack goes by."""

    SYSTEM = "the machine's"
    OURS = "/clock from here, but the robot's own"
    ALL_OURS = "/clock from here, the robot too"


@dataclass(frozen=True, kw_only=True)
class Rig:
    """What stack a case needs. driver: who moves its arm, one of DRIVERS."""

    driver: str = "pid"
    clock: Clocked = Clocked.SYSTEM
    robot: str = "sim"


class Monitor(Node):
    """Keeps what reached the motors and what the arm did, each with the time at which it was sent."""

    def __init__(self, robot: RobotConfig, *, stamped: bool) -> None:
        """robot: whose joints these are; stamped: whether the stack goes by the machine's clock."""
        super().__init__("live_faults")
        self._robot, self._stamped = robot, stamped
        self._lock = threading.Lock()
        self._offset_ns = time.monotonic_ns() - time.time_ns()
        self._heard: dict[str, list[tuple[float, float, int, FloatArray]]] = {"joint_states": [], "joint_command": []}
        self.status: SafetyStatus | None = None
        self.nodes: set[str] = set()
        for topic in (topics.JOINT_STATES, topics.JOINT_COMMAND):
            qos = QoSProfile(depth=DEPTH, reliability=topic.qos.reliability, durability=topic.qos.durability)
            self.create_subscription(topic.type, topic.name, self._keep(topic.name), qos)
        status = topics.SAFETY_STATUS
        self.create_subscription(status.type, status.name, self._on_status, status.qos)
        self.create_subscription(topics.DIAGNOSTICS.type, topics.DIAGNOSTICS.name, self._on_diagnostics, DEPTH)

    @property
    def arm(self) -> Series:
        """What was measured since `begin`."""
        return self._series("joint_states")

    @property
    def commands(self) -> Series:
        """What was commanded since `begin`, but for what a fault sent."""
        return self._series("joint_command")

    @property
    def q(self) -> FloatArray | None:
        """The pose measured last, (n,) rad; None before the first."""
        with self._lock:
            return self._heard["joint_states"][-1][3] if self._heard["joint_states"] else None

    @property
    def speed(self) -> float:
        """Fastest joint just now, rad/s; 0 when nothing was measured for a while."""
        return self._speed("joint_states")

    def moves_at(self, speed: float) -> bool:
        """Whether the arm and what it is told both are that fast, rad/s."""
        return self._speed("joint_states") > speed and self._speed("joint_command") > speed

    def begin(self) -> None:
        """Forget what was heard, but for what shows where the arm is."""
        with self._lock:
            for name, kept in self._heard.items():
                self._heard[name] = kept[-RECENT:]

    def holding(self, ticks: int) -> bool:
        """Whether the last `ticks` commands were one and the same."""
        recent = self._series("joint_command", last=ticks)
        return len(recent.q) == ticks and bool((recent.q == recent.q[0]).all())

    def keep_from_rest(self, ticks: int) -> None:
        """Forget all commands but the last `ticks`, and all that was measured before them."""
        with self._lock:
            commands = self._heard["joint_command"][-ticks:]
            self._heard["joint_command"] = commands
            self._heard["joint_states"] = [s for s in self._heard["joint_states"] if s[0] >= commands[0][0] - 0.5]

    def _keep(self, name: str) -> Callable[[Any, dict[str, int]], None]:
        n = len(self._robot.joints)

        def keep(msg: Any, info: dict[str, int]) -> None:
            if OURS in msg.header.frame_id:
                return
            if len(msg.position) != n:
                q = np.full(n, np.nan)
            else:
                order = [msg.name.index(joint) for joint in self._robot.joint_names]
                q = np.array(msg.position, dtype=np.float64)[order]
            sent_s = (info["source_timestamp"] + self._offset_ns) / NS
            stamp_s = (convert.stamp_ns(msg.header.stamp) + self._offset_ns) / NS
            with self._lock:
                began_s = stamp_s if self._stamped else sent_s
                self._heard[name].append((sent_s, began_s, info["publication_sequence_number"] or 0, q))

        return keep

    def _speed(self, name: str) -> float:
        recent = self._series(name, last=CONTROL_HZ // 10)
        old = not len(recent.time_s) or time.monotonic() - recent.time_s[-1] > 0.1
        return 0.0 if old else speed_now(recent)

    def _on_status(self, msg: SafetyStatus) -> None:
        self.status = msg

    def _on_diagnostics(self, msg: Any) -> None:
        self.nodes.update(status.name.rpartition("/")[2] for status in msg.status)

    def _series(self, name: str, last: int = 0) -> Series:
        with self._lock:
            rows = self._heard[name][-last:]
        return Series(
            time_s=np.array([row[0] for row in rows]),
            began_s=np.array([row[1] for row in rows]),
            number=np.array([row[2] for row in rows], dtype=np.int64),
            q=np.array([row[3] for row in rows]).reshape(len(rows), len(self._robot.joints)),
        )


class World:
    """One stack of one rig. The thread that made it calls everything; nodes that died start again only in `wait`."""

    def __init__(self, rig: Rig, monitor: Monitor, nodes: Stack, robot: RobotConfig) -> None:
        """Made by `running`."""
        self.rig, self.monitor, self.stack, self.robot = rig, monitor, nodes, robot
        self.clock = None if rig.clock is Clocked.SYSTEM else WorldClock(monitor)
        self.complaints: list[str] = []
        self._clients: dict[str, Any] = {}
        self.driver: Driver = DRIVERS[rig.driver](self)

    def wait(self, until: Callable[[], object], patience_s: float, *, restart: bool = True) -> bool:
        """Keep the arm moving until `until` is true; returns whether it became so.

        restart: start nodes again that died. Raises DeviceError when the stack cannot go on.
        """
        deadline = time.monotonic() + patience_s
        while not until():
            if time.monotonic() > deadline:
                return False
            if restart and not self.stack.poll():
                raise DeviceError(f"the stack: {self.stack.failure}")
            self.driver.steer()
            time.sleep(POLL_S)
        return True

    def call(self, service: topics.Service, request: Any = None) -> Any:
        """Send a request to a service; returns the future of its answer. Raises DeviceError when there is none."""
        client = self._clients.get(service.name)
        if client is None:
            client = self._clients[service.name] = self.monitor.create_client(service.type, service.name)
        if not client.wait_for_service(timeout_sec=ANSWER_S):
            raise DeviceError(f"{service.name}: no such service after {ANSWER_S:.0f} s")
        return client.call_async(service.type.Request() if request is None else request)

    def ask(self, service: topics.Service, request: Any = None) -> tuple[bool, str]:
        """Call a service; returns whether it was done, and what it answered. Raises DeviceError without an answer."""
        return self.answer(self.call(service, request))

    def answer(self, future: Any) -> tuple[bool, str]:
        """Wait for an answer; returns whether it was done, and what it says. Raises DeviceError when none comes."""
        if not self.wait(future.done, ANSWER_S, restart=False):
            raise DeviceError(f"a service of the supervisor: no answer within {ANSWER_S:.0f} s")
        return bool(future.result().success), str(future.result().message)

    def select(self, source: str) -> None:
        """Select a source. Raises DeviceError when that is refused."""
        done, message = self.ask(topics.SELECT, SelectSource.Request(source=source))
        if not done:
            raise DeviceError(f"safety/select {source}: {message}")

    def now_ns(self) -> int:
        """ROS time of the stack."""
        return time.time_ns() if self.clock is None else self.clock.now_ns()

    def marked(self, q: FloatArray, sign: str = "") -> Any:
        """Return the message of positions q (n,) rad, which the monitor knows for a fault's own.

        sign: what else it says of who wrote it.
        """
        msg = convert.joint_state(self.robot, self.now_ns(), q)
        msg.header.frame_id = sign + OURS
        return msg

    def latched(self) -> str:
        """Return why the supervisor waits for a reset, or "". Nothing is judged by this."""
        status = self.monitor.status
        return str(status.reason_code) if status is not None and status.state == SafetyStatus.ESTOP else ""

    @contextmanager
    def other_node(self, name: str) -> Iterator[Node]:
        """Give a node that does not belong to the stack; it listens to nothing."""
        node = Node(name, use_global_arguments=False)
        try:
            yield node
        finally:
            node.destroy_node()


def specs_of(rig: Rig, black_box: Path, bundle: str = "") -> tuple[list[NodeSpec], RobotConfig]:
    """Return the nodes of a rig and their robot. Raises ConfigError or BundleError."""
    source = "system1" if rig.driver == "system1" else "pid"
    ours = rig.clock is not Clocked.SYSTEM
    options = resolved(
        StackOptions(
            robot=rig.robot,
            control_source=source,
            bundle=bundle if source == "system1" else "",
            cameras="sim" if source == "system1" else "none",
            use_sim_time=ours,
            log_level="warn",
        )
    )
    more: dict[str, dict[str, Any]] = {
        "pid": {"pid.velocity_limit": PID_SPEED_RAD_S},
        "safety_supervisor": {"black_box": str(black_box)},
        "simulator": {"publish_clock": False, "use_sim_time": rig.clock is Clocked.ALL_OURS},
    }
    nodes = [replace(s, parameters={**s.parameters, **more.get(s.name, {})}) for s in stack(options)]
    return nodes, load_robot(options.description)


@contextmanager
def running(rig: Rig, folder: Path, log: Log, bundle: str = "") -> Iterator[World]:
    """Run the stack of `rig` and wait until all of it is up. Raises DeviceError when it does not come up in time.

    folder: for black boxes.
    """
    specs, robot = specs_of(rig, folder, bundle)
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    monitor = Monitor(robot, stamped=rig.clock is Clocked.SYSTEM)
    # Not the EventsExecutor: it does not hand over when a message was sent, and its number.
    executor = SingleThreadedExecutor()
    executor.add_node(monitor)
    spinning = threading.Thread(target=_spin, args=(executor,), name="live_faults", daemon=True)
    spinning.start()
    world: World | None = None
    try:
        with Stack(specs, log) as nodes:
            world = World(rig, monitor, nodes, robot)
            _come_up(world, [spec.name for spec in specs])
            yield world
    finally:
        if world is not None:
            world.driver.close()
            if world.clock is not None:
                world.clock.close()
        executor.shutdown(timeout_sec=1.0)
        spinning.join(timeout=2.0)
        monitor.destroy_node()
        rclpy.try_shutdown()


def _spin(executor: SingleThreadedExecutor) -> None:
    with suppress(ExternalShutdownException):
        executor.spin()


def _come_up(world: World, names: Sequence[str]) -> None:
    """Wait for diagnostics of every node, and for commands."""
    monitor = world.monitor

    def up() -> bool:
        return set(names) <= monitor.nodes and monitor.status is not None and monitor.holding(1)

    if not world.wait(up, UP_WITHIN_S):
        missing = sorted(set(names) - monitor.nodes) or ["joint_command"]
        raise DeviceError(f"the stack: got nothing from {', '.join(missing)} within {UP_WITHIN_S:.0f} s")
