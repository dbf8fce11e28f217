"""Nodes under test in this process, and one that talks to them."""

import threading
import time
from collections.abc import Callable
from typing import Any

import rclpy
from rclpy.experimental import EventsExecutor
from rclpy.task import Future

from so_arm_policy.ros import topics

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
        self.executor = EventsExecutor()
        self.executor.add_node(self.tester)
        self.heard: dict[str, list[Any]] = {}
        self._nodes: list[Any] = []
        self._end: Future = Future()
        self._thread = threading.Thread(target=self._spin, daemon=True)

    def _spin(self) -> None:
        while not self._end.done():
            self.executor.spin_until_future_complete(self._end, timeout_sec=0.5)

    def run(self, node: Any) -> Any:
        """Start a node of the stack."""
        self._nodes.append(node)
        self.executor.add_node(node)
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
        if self._thread.ident is None:
            self._thread.start()
        wait_until(lambda: publisher.get_subscription_count() > 0)
        return publisher.publish

    def spin(self) -> None:
        """Begin to deliver messages."""
        if self._thread.ident is None:
            self._thread.start()

    def close(self) -> None:
        for node in self._nodes:
            node.stop()
        self._end.set_result(None)
        self.executor.wake()
        if self._thread.ident is not None:
            self._thread.join(10.0)
        self.executor.shutdown(timeout_sec=1.0)
        for node in [*self._nodes, self.tester]:
            node.destroy_node()
        rclpy.try_shutdown()
