"""Nodes under test in this process, one that talks to them, and what it says: good messages and garbage."""

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import rclpy
from sensor_msgs.msg import JointState

from so_arm_policy.robot.description import load_robot
from so_arm_policy.ros import convert, topics
from so_arm_policy.ros.executor import Spinner
from so_arm_policy.ros.sole_writer import SUPERVISOR

ROBOT = load_robot("so101")
N = len(ROBOT.joints)
NAMES = list(ROBOT.joint_names)

GARBAGE = {
    "nan": JointState(name=NAMES, position=[math.nan] * N),
    "missing": JointState(name=NAMES[1:], position=[0.0] * (N - 1)),
    "double": JointState(name=[*NAMES, NAMES[0]], position=[0.0] * (N + 1)),
    "lengths": JointState(name=NAMES, position=[0.0]),
    "empty": JointState(),
    "velocity": JointState(name=NAMES, position=[0.0] * N, velocity=[math.inf] * N),
}
AGAIN_S = 5.0
PATIENCE_S = 60.0  # how long a busy machine may take until a test fails


def wait_until(what: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    """Return once `what` is true; fail when it does not become so."""
    deadline = time.monotonic() + patience_s
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def now_ns():
    return time.time_ns()


def joints(q=ROBOT.home):
    return convert.joint_state(ROBOT, now_ns(), np.asarray(q))


def command(q=ROBOT.home, writer=f"{SUPERVISOR}test"):
    msg = joints(q)
    msg.header.frame_id = writer
    return msg


def diagnostics_of(node):
    heard = []
    node._diagnostics.publish = heard.append
    node._publish_diagnostics()
    return heard[-1].status[0]


def repeat(say, make, until):
    """Say something about 120 times a second until something is true."""

    def again():
        say(make())
        return until()

    wait_until(again)


class Graph:
    """Nodes under test and one that talks to them, spun together in a thread."""

    def __init__(self, *ros_args: str) -> None:
        rclpy.init(args=["--ros-args", *ros_args])
        self.tester = rclpy.create_node("tester", use_global_arguments=False)
        self.spinner = Spinner(self.tester)
        self.heard: dict[str, list[Any]] = {}
        self._nodes: list[Any] = []
        self._clients: dict[str, Any] = {}

    def run(self, node: Any) -> Any:
        """Start a node of the stack."""
        self._nodes.append(node)
        self.spinner.add(node)
        node.start()
        return node

    def hear(self, topic: topics.Topic) -> list[Any]:
        """Return the list that every message of `topic` is added to."""
        heard = self.heard.setdefault(topic.name, [])
        self.tester.create_subscription(topic.type, topic.name, heard.append, topic.qos)
        return heard

    def say(self, topic: topics.Topic) -> Callable[[Any], None]:
        """Return what publishes on `topic`; waits until somebody listens."""
        publisher = self.tester.create_publisher(topic.type, topic.name, topic.qos)
        self.spinner.start()
        wait_until(lambda: publisher.get_subscription_count() > 0)
        return publisher.publish

    def ask(self, service: topics.Service, request: Any) -> Any:
        """Return the answer; ask again where none comes: a busy machine loses those to whom it has only just found."""
        client = self._clients.get(service.name)
        if client is None:
            client = self._clients[service.name] = self.tester.create_client(service.type, service.name)
            self.spinner.start()
        wait_until(client.service_is_ready)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            future = client.call_async(request)
            again = time.monotonic() + AGAIN_S
            while time.monotonic() < again:
                if future.done():
                    return future.result()
                time.sleep(0.005)
            assert time.monotonic() < deadline, f"{service.name}: asked in vain"

    def close(self) -> None:
        for node in self._nodes:
            node.stop()
        self.spinner.stop()
        for node in [*self._nodes, self.tester]:
            node.destroy_node()
        rclpy.try_shutdown()
