"""Finds topics as they appear on the graph, and hears each as all its publishers can be heard."""

import functools
from collections.abc import Callable, Collection

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

from so_arm_policy.evaluate.bags.images import IMAGE, SUFFIX
from so_arm_policy.evaluate.bags.metadata import Quality
from so_arm_policy.ros.message_types import message_class

DEPTH = 100
EVERYWHERE = ("/diagnostics", "/clock", "/tf", "/tf_static")  # heard whatever the namespace
NEVER = ("/rosout", "/parameter_events")

Take = Callable[[bytes], object]


class TopicWatch:
    """Subscribes to serialised messages of what it finds.

    heard: topics and their types. unknown: types that are not installed, and so not heard.
    """

    def __init__(self, node: Node, wanted: Collection[str], begin: Callable[[str, str, list[Quality]], Take]) -> None:
        """wanted: absolute names; none of them: all in the node's namespace. begin: returns what takes messages."""
        self._node, self._wanted, self._begin = node, wanted, begin
        self.heard: set[tuple[str, str]] = set()
        self.unknown: set[str] = set()

    def look(self) -> None:
        """Hear what has come since the last look."""
        for topic, kind in worth_hearing(self._node, self._wanted):
            if (topic, kind) not in self.heard and kind not in self.unknown:
                self._hear(topic, kind)

    def _hear(self, topic: str, kind: str) -> None:
        made = message_class(kind)
        offered = [info.qos_profile for info in self._node.get_publishers_info_by_topic(topic)]
        if made is None:
            self.unknown.add(kind)
            self._node.get_logger().warning(f"{topic}: got type {kind!r}, expected one that is installed: passed over")
        elif offered:
            self.heard.add((topic, kind))
            take = self._begin(topic, kind, list(dict.fromkeys(map(_quality, offered))))
            self._node.create_subscription(made, topic, functools.partial(take), _heard_by_all(offered), raw=True)


def topics_named(node: Node, text: str) -> set[str]:
    """Return the absolute names of topics that a person named, joined by commas."""
    return {node.resolve_topic_name(name.strip()) for name in text.split(",") if name.strip()}


def worth_hearing(node: Node, wanted: Collection[str]) -> list[tuple[str, str]]:
    """Return the topics that `node` knows of and a watch would hear, and their types; wanted: as of TopicWatch."""
    space = node.get_namespace().rstrip("/") + "/"

    def is_wanted(topic: str) -> bool:
        if wanted:
            return topic in wanted
        return (topic.startswith(space) or topic in EVERYWHERE) and topic not in NEVER

    topics = [(topic, kinds) for topic, kinds in node.get_topic_names_and_types() if is_wanted(topic)]
    raw = {topic for topic, kinds in topics if IMAGE in kinds}
    twice = {topic for topic, _ in topics if topic not in raw and topic.removesuffix(SUFFIX) in raw}
    return [(topic, kind) for topic, kinds in topics if topic not in twice for kind in kinds]


def _heard_by_all(offered: list[QoSProfile]) -> QoSProfile:
    """Return the strictest quality of service that every publisher of a topic meets."""
    best_effort = any(q.reliability == ReliabilityPolicy.BEST_EFFORT for q in offered)
    latched = all(q.durability == DurabilityPolicy.TRANSIENT_LOCAL for q in offered)
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=DEPTH,
        reliability=ReliabilityPolicy.BEST_EFFORT if best_effort else ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def _quality(qos: QoSProfile) -> Quality:
    names = qos.reliability.name, qos.durability.name, qos.history.name
    return Quality(reliability=names[0], durability=names[1], history=names[2], depth=qos.depth)
