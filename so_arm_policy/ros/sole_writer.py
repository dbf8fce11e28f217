"""Notices when somebody else writes to a command topic: to joint_command, or in the name of a source."""

from collections import deque
from collections.abc import Iterable
from typing import Any

from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.subscription import Subscription

from so_arm_policy.ros import convert, topics
from so_arm_policy.safety.values import Fault

CODE = "source.unknown_publisher"
UNNAMED = "_NODE_NAME_UNKNOWN_"  # what the graph says of a node that is just coming, or gone
REMEMBERED = 240  # own stamps, two seconds of them


def rivals(node: Node, sources: Iterable[str]) -> tuple[Fault, ...]:
    """Return a fault for each source whose proposals come from more than one node; off the tick's thread.

    A source that was started again still shows twice for some seconds; the order of its proposals tells the two apart.
    """
    faults = []
    for source in sources:
        topic = node.resolve_topic_name(topics.proposal(source).name)
        ends = [e for e in node.get_publishers_info_by_topic(topic) if e.node_name != UNNAMED]
        names = sorted({_full_name(e.node_name, e.node_namespace) for e in ends})
        if len(names) > 1:
            faults.append(Fault(code=CODE, text=f"{topic}: got publishers {', '.join(names)}, expected one"))
    return tuple(faults)


def _full_name(name: str, namespace: str) -> str:
    return f"{namespace.rstrip('/')}/{name}"


class SoleWriter:
    """Asks the ROS graph who else publishes; call `check` now and then, off the tick's thread.

    The graph still shows a process for some seconds after it was killed. A publisher that bears this node's own name,
    or none, may be such a ghost, so it only counts once a command was heard that this node did not send.
    """

    def __init__(self, node: Node, publisher: Publisher) -> None:
        """publisher: this node's own one."""
        self._node = node
        self._topic = publisher.topic_name
        self._sent: deque[int] = deque(maxlen=REMEMBERED)
        self._listening: Subscription | None = None
        self._strange = False
        self.faults: tuple[Fault, ...] = ()

    def wrote(self, stamp_ns: int) -> None:
        """Note the stamp of a command of this node's own; cheap enough for every tick."""
        self._sent.append(stamp_ns)

    def check(self) -> None:
        """Look at the graph and set `faults`."""
        me = (self._node.get_name(), self._node.get_namespace())
        found = [(e.node_name, e.node_namespace) for e in self._node.get_publishers_info_by_topic(self._topic)]
        named = [other for other in found if other != me and other[0] != UNNAMED]
        others = sorted({_full_name(*other) for other in named})
        self._listen(len(found) - len(named) > 1)
        if self._strange:
            others.append(f"a second {self._node.get_name()}, or one without a name")
        text = f"{self._topic}: got publisher {', '.join(others)}, expected {self._node.get_name()} alone"
        self.faults = (Fault(code=CODE, text=text),) if others else ()

    def _listen(self, suspicious: bool) -> None:
        if suspicious and self._listening is None:
            topic = topics.JOINT_COMMAND
            self._listening = self._node.create_subscription(topic.type, topic.name, self._on_command, topic.qos)
        elif not suspicious and self._listening is not None:
            self._node.destroy_subscription(self._listening)
            self._listening, self._strange = None, False

    def _on_command(self, msg: Any) -> None:
        self._strange = self._strange or convert.stamp_ns(msg.header.stamp) not in self._sent
