"""What keeps the arm of a live fault at speed: goals for the PID, instructions, or a source of its own."""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from rclpy.node import Node
from std_msgs.msg import String

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.core.values import Proposal
from so_arm_policy.msg import JointCommand, SafetyStatus
from so_arm_policy.ros import convert, topics
from so_arm_policy.sim.tasks import make_task

if TYPE_CHECKING:
    from so_arm_policy.ros.live_fault_world import World

SWEEP_RAD = {0: 0.8, 4: 0.6}  # the joints that turn about the arm's own axes, which brings it near to nothing
TURN_RAD = 0.3  # so far from a goal the next one is given: before the PID slows down
ROOM_RAD = 0.6  # a fault that stops the arm must not be helped by a goal that is near
TOLD_S = 2.0  # between instructions, less than most tasks take
SINE_RAD_S = 1.6
REMEMBERED = CONTROL_HZ


class Driver(Protocol):
    """Keeps the arm moving. source: who proposes; fast_rad_s: what counts as being at speed."""

    source: str
    fast_rad_s: float

    def steer(self) -> None:
        """Do what is due; called many times a second."""

    def ready(self) -> bool:
        """Whether the arm would go on by itself for a while."""
        ...

    def close(self) -> None:
        """End threads."""


class PidDriver:
    """Gives the PID one goal after another, to and fro."""

    source, fast_rad_s = "pid", 1.4

    def __init__(self, world: "World") -> None:
        """world: whose arm it moves."""
        self._world = world
        topic = topics.PID_GOAL
        self._goals = world.monitor.create_publisher(topic.type, topic.name, topic.qos)
        self._way = 1.0
        self._given: float | None = None

    def steer(self) -> None:
        """Turn round near the goal."""
        q = self._world.monitor.q
        if q is None:
            return
        if abs(self._goal()[0] - q[0]) < TURN_RAD:
            self._way = -self._way
        if self._given != self._way:
            self._given = self._way
            self._goals.publish(convert.joint_state(self._world.robot, time.time_ns(), self._goal()))

    def ready(self) -> bool:
        """Whether the goal is far."""
        q = self._world.monitor.q
        return q is not None and abs(self._goal()[0] - q[0]) > ROOM_RAD

    def close(self) -> None:
        """Nothing runs."""

    def _goal(self) -> FloatArray:
        return swept(self._world.robot.home, self._way)


class PolicyDriver:
    """Tells the policy one thing after another."""

    source, fast_rad_s = "system1", 0.5

    def __init__(self, world: "World") -> None:
        """world: whose arm it moves."""
        task = make_task("reach")
        self._world = world
        self._texts = list(task.instructions(task.sample(0).scene))
        self._instructions = world.monitor.create_publisher(String, topics.INSTRUCTION.name, topics.INSTRUCTION.qos)
        self._told, self._told_s = 0, 0.0

    def steer(self) -> None:
        """Give the next instruction when it is time."""
        if time.monotonic() - self._told_s > TOLD_S:
            self._told_s = time.monotonic()
            self._instructions.publish(String(data=self._texts[self._told % len(self._texts)]))
            self._told += 1

    def ready(self) -> bool:
        """Whether it was told something just now."""
        return time.monotonic() - self._told_s < TOLD_S / 2

    def close(self) -> None:
        """Nothing runs."""


class SineDriver:
    """A source of its own, `teleop`, that moves on a sine from where the arm is: what it says can be spoilt.

    spoil: changes each message before it is sent, None drops it; sent: the last ones, as they were sent.
    """

    source, fast_rad_s = "teleop", 1.3

    def __init__(self, world: "World") -> None:
        """world: whose arm it moves."""
        self._world = world
        self.spoil: Callable[[JointCommand], JointCommand | None] | None = None
        self.sent: deque[JointCommand] = deque(maxlen=REMEMBERED)
        self.node = Node(self.source, use_global_arguments=False)
        topic = topics.proposal(self.source)
        self.publisher = self.node.create_publisher(topic.type, topic.name, topic.qos)
        self._from: FloatArray | None = None
        self._began_s = 0.0
        self.sequence = 0
        self._ticking = Ticking(self._tick, CONTROL_HZ)

    def steer(self) -> None:
        """It moves by itself."""

    def ready(self) -> bool:
        """Always: where it turns round it stands for less than a fault is watched."""
        return True

    def close(self) -> None:
        """End the thread and the node."""
        self._ticking.close()
        self.node.destroy_node()

    def message(self, q: FloatArray, dq: FloatArray, observed_ns: int | None = None) -> JointCommand:
        """Return the next proposal: to q (n,) rad at dq rad/s, following from a measurement of `observed_ns` or now."""
        now_ns = self._world.now_ns()
        self.sequence += 1
        return convert.joint_command(
            Proposal(
                source=self.source,
                sequence=self.sequence,
                stamp_ns=now_ns,
                observation_stamp_ns=now_ns if observed_ns is None else observed_ns,
                received_ns=0,
                joint_names=self._world.robot.joint_names,
                q=q,
                dq=dq,
            )
        )

    def _tick(self, due_s: float) -> None:
        monitor = self._world.monitor
        q, status = monitor.q, monitor.status
        if q is None or status is None:
            return
        followed = status.state == SafetyStatus.ACTIVE and status.source == self.source
        if self._from is None or (not followed and due_s - self._began_s > 0.2):
            self._from, self._began_s = q.copy(), due_s  # who is not followed stays near the arm
        msg = self.message(*self._path(self._from, max(due_s - self._began_s, 0.0)))
        spoilt = msg if self.spoil is None else self.spoil(msg)
        if spoilt is not None:
            self.sent.append(spoilt)
            self.publisher.publish(spoilt)

    def _path(self, start: FloatArray, time_s: float) -> tuple[FloatArray, FloatArray]:
        way = swept(self._world.robot.home, -1.0 if start[0] > self._world.robot.home[0] else 1.0) - start
        turns = 2.0 * SINE_RAD_S / max(float(np.abs(way).max()), 0.1)
        q = start + way * (1.0 - np.cos(turns * time_s)) / 2.0
        return q, way * turns * np.sin(turns * time_s) / 2.0


class WorldClock:
    """Publishes /clock: the system's time, unless a fault changes it."""

    def __init__(self, node: Node) -> None:
        """node: that publishes it."""
        self._publisher = node.create_publisher(topics.CLOCK.type, topics.CLOCK.name, topics.CLOCK.qos)
        self.offset_ns = 0
        self.stopped_ns: int | None = None
        self._ticking = Ticking(self._tick, CONTROL_HZ)

    def now_ns(self) -> int:
        """Return the time that it says, ns."""
        return time.time_ns() + self.offset_ns if self.stopped_ns is None else self.stopped_ns

    def close(self) -> None:
        """Publish no more."""
        self._ticking.close()

    def _tick(self, due_s: float) -> None:
        self._publisher.publish(topics.CLOCK.type(clock=convert.time_msg(self.now_ns())))


class Ticking:
    """Calls something at a rate, in a thread of its own: it keeps the rate on average, in bursts if it must."""

    def __init__(self, work: Callable[[float], Any], rate_hz: float) -> None:
        """work: is given when it was due, monotonic s."""
        self._work, self._period_s = work, 1.0 / rate_hz
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it; returns when it has."""
        self._end.set()
        self._thread.join(timeout=2.0)

    def _run(self) -> None:
        due_s = time.monotonic()
        while not self._end.is_set():
            self._work(due_s)
            due_s = max(due_s + self._period_s, time.monotonic() - 0.1)
            wait_s = due_s - time.monotonic()
            if wait_s > 0.0:
                self._end.wait(wait_s)


def swept(home: FloatArray, way: float) -> FloatArray:
    """Return one end of the sweep, (n,) rad; way: +1 or -1."""
    q = np.array(home)
    for joint, reach in SWEEP_RAD.items():
        q[joint] += way * reach
    return q


DRIVERS: dict[str, Callable[["World"], Driver]] = {"pid": PidDriver, "system1": PolicyDriver, "teleop": SineDriver}
