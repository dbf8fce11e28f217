"""Callbacks of nodes, run in a thread of their own."""

import threading
from typing import Any

from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.task import Future

try:
    from rclpy.experimental import EventsExecutor
except ImportError:  # distributions before Jazzy's 7.1.4
    EventsExecutor = None

JOIN_S = 1.0


class Spinner:
    """Runs callbacks on rclpy's EventsExecutor, at about half of the processor time of the other one."""

    def __init__(self, *nodes: Node) -> None:
        """nodes: the first ones; `add` takes more."""
        self._executor: Any = SingleThreadedExecutor() if EventsExecutor is None else EventsExecutor()
        self._end: Future[None] = Future()
        self._thread = threading.Thread(target=self._spin, name="executor", daemon=True)
        for node in nodes:
            self.add(node)

    def add(self, node: Node) -> None:
        """Run the callbacks of `node` too."""
        self._executor.add_node(node)

    def start(self) -> None:
        """Begin; once started, nothing more happens."""
        if self._thread.ident is None:
            self._thread.start()

    def stop(self) -> None:
        """End; the nodes can be destroyed afterwards."""
        self._end.set_result(None)
        self._executor.wake()
        if self._thread.ident is not None:
            self._thread.join(timeout=JOIN_S)
        self._executor.shutdown(timeout_sec=1.0)

    def _spin(self) -> None:
        # Not EventsExecutor.spin(): its wait without end is a busy loop that runs nothing in the Jazzy wheels, and
        # spin_once() returns to Python after every callback. With a time limit, this waits and wakes as it should.
        while not self._end.done():
            self._executor.spin_until_future_complete(self._end, timeout_sec=1.0)
