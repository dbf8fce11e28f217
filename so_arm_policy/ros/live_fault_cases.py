"""The faults of whole processes, one case each: what is done to a running stack, and what must come of it."""

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.timegrid import CONTROL_HZ, NS
from so_arm_policy.core.values import Proposal
from so_arm_policy.msg import JointCommand
from so_arm_policy.ros import convert, topics
from so_arm_policy.ros.live_fault_drivers import SineDriver, Ticking
from so_arm_policy.ros.live_fault_world import Clocked, Rig, World

BOUND_S = 1.0  # timeout, two ticks and the braking are 0.3 s; the rest is for a machine with other work
GRAPH_S = 2.5  # the supervisor looks once a second who else is there
CONTEXT_S = 4.5  # System 1 goes on with what it last saw for 2 s, and then to the end of its chunk
STAYS_S = 1.0  # so much longer than its bound a fault is watched
FLOOD_HZ = 2000
OFTEN_HZ = 8 * CONTROL_HZ  # so that nobody has the last word for a whole tick
BATCH = 10  # of a flood: a thread cannot wake up that often
INTRUDER = "intruder"
PID, TELEOP, POLICY = Rig(), Rig(driver="teleop"), Rig(driver="system1")
CLOCK, ALL_CLOCK = Rig(clock=Clocked.OURS), Rig(clock=Clocked.ALL_OURS)

Fault = Callable[[World], AbstractContextManager[None]]


class Expect(Enum):
    """What must come of a fault while it lasts. In every case all commands keep all limits."""

    STOPS = "stops"  # comes to rest within its bound, and stays
    GOES_ON = "goes on"  # is not touched by it
    LIMITS = "within limits"  # may go on or stop


class After(Enum):
    """How the arm moves again once the fault is over."""

    BY_ITSELF = "by itself"
    RESET = "after a reset"


@dataclass(frozen=True, kw_only=True)
class LiveCase:
    """One fault of a running stack.

    fault: begins on entering, is over on leaving. bound_s: within which the arm must rest (STOPS), generous: what it
    truly takes is reported. lasts_s: how long it is there, and watched; 0: a second more than its bound.
    after: how the arm moves again, None: by itself or after a reset.
    """

    name: str
    text: str
    fault: Fault
    rig: Rig = PID
    expect: Expect = Expect.STOPS
    after: After | None = After.BY_ITSELF
    bound_s: float = BOUND_S
    lasts_s: float = 0.0

    @property
    def patient(self) -> bool:
        """Whether it takes time until anybody can notice it; until then the arm may stand and go on."""
        return self.bound_s > BOUND_S

    @property
    def watched_s(self) -> float:
        """How long the fault is there."""
        return self.lasts_s or self.bound_s + STAYS_S


def killed(*nodes: str) -> Fault:
    """End processes; they are started again afterwards."""

    @contextmanager
    def fault(world: World) -> Iterator[None]:
        for node in nodes:
            world.stack.kill(node)
        yield

    return fault


def frozen(*nodes: str) -> Fault:
    """Stop processes where they are, and let them go on afterwards."""

    @contextmanager
    def fault(world: World) -> Iterator[None]:
        try:
            for node in nodes:
                world.stack.kill(node, signal.SIGSTOP)
            yield
        finally:
            for node in nodes:
                world.stack.kill(node, signal.SIGCONT)

    return fault


def says(
    topic: topics.Topic, make: "Callable[[World, int], Any] | None", rate_hz: float, name: str = INTRUDER
) -> Fault:
    """Let another node publish. make: the message of a number; None: it is silent. name: of that node."""

    @contextmanager
    def fault(world: World) -> Iterator[None]:
        with world.other_node(name) as node:
            publisher = node.create_publisher(topic.type, topic.name, topic.qos)
            count = iter(range(1_000_000_000))
            batch = BATCH if rate_hz >= FLOOD_HZ else 1

            def tick(due_s: float) -> None:
                for _ in range(batch if make is not None else 0):
                    assert make is not None
                    publisher.publish(make(world, next(count)))

            ticking = Ticking(tick, rate_hz / batch)
            try:
                yield
            finally:
                ticking.close()
                node.destroy_publisher(publisher)

    return fault


def spoilt(change: Callable[[World, JointCommand], None]) -> Fault:
    """Change every proposal of the driver before it is sent."""

    @contextmanager
    def fault(world: World) -> Iterator[None]:
        driver = _sine(world)

        def spoil(msg: JointCommand) -> JointCommand:
            change(world, msg)
            return msg

        try:
            driver.spoil = spoil
            yield
        finally:
            driver.spoil = None

    return fault


def clock(change: Callable[[World], None]) -> Fault:
    """Change /clock; it is right again afterwards."""

    @contextmanager
    def fault(world: World) -> Iterator[None]:
        assert world.clock is not None
        try:
            change(world)
            yield
        finally:
            world.clock.offset_ns, world.clock.stopped_ns = 0, None

    return fault


@contextmanager
def pressed(world: World) -> Iterator[None]:
    """Press the emergency stop."""
    done, message = world.ask(topics.ESTOP)
    if not done:
        world.complaints.append(f"the e-stop was refused: {message}")
    yield


@contextmanager
def reset_too_early(world: World) -> Iterator[None]:
    """Press the emergency stop and ask for a reset at once, while the arm still moves."""
    # Both are on their way before either is answered: so the reset comes one or two ticks after the stop.
    stop, reset = world.call(topics.ESTOP), world.call(topics.RESET)
    world.answer(stop)
    done, _ = world.answer(reset)
    if done:
        world.complaints.append("a reset was accepted while the arm moved")
    yield


@contextmanager
def pressed_and_source_killed(world: World) -> Iterator[None]:
    """Press the emergency stop and end the source while the arm brakes."""
    stop = world.call(topics.ESTOP)
    world.stack.kill(world.driver.source)
    if not world.answer(stop)[0]:
        world.complaints.append("the e-stop was refused")
    yield


@contextmanager
def old_motion_after_reset(world: World) -> Iterator[None]:
    """Stop, reset, and only then say what the source wanted before the stop, stamped anew."""
    driver = _sine(world)
    world.ask(topics.ESTOP)
    old = list(driver.sent)
    driver.spoil = lambda msg: None
    try:
        world.wait(lambda: world.monitor.speed < 0.02 and world.monitor.holding(12), 5.0, restart=False)
        reset, message = world.ask(topics.RESET)
        if not reset:
            world.complaints.append(f"a reset was refused to a standing arm: {message}")
        again = iter(old[::-1] * 100)

        def say(msg: JointCommand) -> JointCommand:
            past = next(again)
            observed_ns = convert.stamp_ns(past.observation_stamp)
            return driver.message(np.array(past.position), np.array(past.velocity), observed_ns)

        driver.spoil = say
        yield
    finally:
        driver.spoil = None


def proposes(source: str, q: "Callable[[World, int], FloatArray]", count_from: int = 1_000_000) -> Any:
    """Return what makes proposals that look good but for where they lead. count_from: of their sequence."""

    def make(world: World, i: int) -> JointCommand:
        now_ns = world.now_ns()
        value = Proposal(
            source=source,
            sequence=count_from + i,
            stamp_ns=now_ns,
            observation_stamp_ns=now_ns,
            received_ns=0,
            joint_names=world.robot.joint_names,
            q=q(world, i),
        )
        return convert.joint_command(value)

    return make


def aside(world: World, i: int) -> FloatArray:
    """Return a pose near enough to be taken for one to move to."""
    here = world.monitor.q
    q = np.array(world.robot.home if here is None else here)
    q[1:4] -= 0.1
    return q


def garbage(world: World, i: int) -> JointCommand:
    """Return one of several proposals that are none."""
    n, names = len(world.robot.joint_names), list(world.robot.joint_names)
    return (
        JointCommand(),
        JointCommand(source="pid", joint_names=names, position=[math.nan] * n),
        JointCommand(source="pid", joint_names=names[1:], position=[0.0] * (n - 1)),
        JointCommand(source="pid", joint_names=["?"] * n, position=[1e300] * n),
        JointCommand(source="p" * 1000, sequence=2**63, joint_names=names * 50, position=[-math.inf] * 50 * n),
    )[i % 5]


def nothing_finite(world: World, i: int) -> Any:
    """Return joint positions of NaN."""
    return world.marked(np.full(len(world.robot.joint_names), math.nan))


def not_finite(world: World, msg: JointCommand) -> None:
    """Make one joint NaN."""
    msg.position[0] = math.nan


def stamped(ns: Callable[[int], int]) -> Callable[[World, JointCommand], None]:
    """Return what stamps a proposal. ns: the stamp, of the present ROS time."""

    def change(world: World, msg: JointCommand) -> None:
        msg.header.stamp = msg.observation_stamp = convert.time_msg(ns(world.now_ns()))

    return change


def back(world: World) -> None:
    """Let the clock go back by a second."""
    assert world.clock is not None
    world.clock.offset_ns = -NS


def ahead(world: World) -> None:
    """Let the clock jump ahead by five seconds."""
    assert world.clock is not None
    world.clock.offset_ns = 5 * NS


def stands(world: World) -> None:
    """Stop the clock."""
    assert world.clock is not None
    world.clock.stopped_ns = time.time_ns()


def _sine(world: World) -> SineDriver:
    if not isinstance(world.driver, SineDriver):
        raise ConfigError(f"a live fault: got driver {world.driver.source!r}, expected 'teleop'")
    return world.driver
