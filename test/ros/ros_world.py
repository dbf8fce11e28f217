"""Nodes under test in this process, and one that talks to them."""

import time
from collections.abc import Callable
from typing import Any

import rclpy

from so_arm_policy.ros import topics
from so_arm_policy.ros.executor import Spinner

PATIENCE_S = 60.0  # how long a busy machine may take until a test fails


def wait_until(what: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    """Return once `what` is true; fail when it does not become so."""
    deadline = time.monotonic() + patience_s
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


class Graph:
    """Nodes under test and one that talks to them, spun together in a thread."""

    def __init__(self, *ros_args: str) -> None:
        rclpy.init(args=["--ros-args", *ros_args])
        self.tester = rclpy.create_node("tester", use_global_arguments=False)
        self.spinner = Spinner(self.tester)
        self.heard: dict[str, list[Any]] = {}
        self._nodes: list[Any] = []

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

    def close(self) -> None:
        for node in self._nodes:
            node.stop()
        self.spinner.stop()
        for node in [*self._nodes, self.tester]:
            node.destroy_node()
        rclpy.try_shutdown()
