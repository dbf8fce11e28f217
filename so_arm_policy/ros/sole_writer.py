"""One writer for each command topic: who else writes to joint_command, or in the name of a source, is noticed.

Each joint_command says in `header.frame_id` which process wrote it, since a name on the graph outlives its process by
seconds, and two processes may bear the same one.
"""

import secrets
import time
from collections.abc import Iterable
from typing import Any

from rclpy.node import Node

from so_arm_policy.core.errors import InputError
from so_arm_policy.core.timegrid import NS
from so_arm_policy.ros import topics
from so_arm_policy.safety.values import Fault

CODE = "source.unknown_publisher"
UNNAMED = "_NODE_NAME_UNKNOWN_"  # what the graph says of a node that is just coming, or gone
SUPERVISOR = "safety_supervisor#"  # how the signature of every supervisor begins
LASTS_NS = NS  # so long after its last command another writer counts


class SoleWriter:
    """The supervisor's side: hears whoever else writes joint_command, and asks the graph who else could.

    signature: for `header.frame_id` of its own commands.
    """

    def __init__(self, node: Node, sources: Iterable[str]) -> None:
        """node: the supervisor; sources: in whose name one node each may propose."""
        self.signature = f"{SUPERVISOR}{secrets.token_hex(4)}"
        self._node, self._sources = node, tuple(sources)
        self._topic = node.resolve_topic_name(topics.JOINT_COMMAND.name)
        self._others: tuple[str, ...] = ()
        self._rivals: tuple[Fault, ...] = ()
        self._heard: tuple[str, int] | None = None
        topic = topics.JOINT_COMMAND
        node.create_subscription(topic.type, topic.name, self._on_command, topic.qos)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What is wrong now; cheap enough for every tick."""
        heard, others = self._heard, self._others
        if heard is not None and time.monotonic_ns() - heard[1] <= LASTS_NS:
            others = (*others, f"one that signs {heard[0]!r}")
        text = f"{self._topic}: got publisher {', '.join(others)}, expected {self._node.get_name()} alone"
        return (*((Fault(code=CODE, text=text),) if others else ()), *self._rivals)

    def check(self) -> None:
        """Look at the graph for writers that are silent so far, and rivals; now and then, off the tick's thread."""
        me = (self._node.get_name(), self._node.get_namespace())
        found = {(e.node_name, e.node_namespace) for e in self._node.get_publishers_info_by_topic(self._topic)}
        self._others = tuple(sorted(_full_name(*other) for other in found - {me} if other[0] != UNNAMED))
        self._rivals = _rivals(self._node, self._sources)

    def _on_command(self, msg: Any) -> None:
        if msg.header.frame_id != self.signature:
            self._heard = (msg.header.frame_id, time.monotonic_ns())


class Followed:
    """The robot's side of joint_command: follows one supervisor, until that is silent.

    Whoever else writes is refused, so the arm is not pulled between two, and the supervisor can still bring it to rest.
    """

    def __init__(self, timeout_ns: int, *, anybody: bool = False) -> None:
        """timeout_ns: silence after which another may be followed; anybody: also one that is no supervisor."""
        self._timeout_ns, self._anybody = timeout_ns, anybody
        self._writer: str | None = None
        self._heard_ns = 0

    def check(self, writer: str, now_ns: int) -> None:
        """Take note of a command that `writer` signed. Raises InputError when it is not to be followed."""
        if not (self._anybody or writer.startswith(SUPERVISOR)):
            got = f"joint_command: got a command signed {writer!r} (header.frame_id)"
            raise InputError(f"{got}, expected one of the safety supervisor, {SUPERVISOR}...; see any_writer")
        if self._writer not in (None, writer) and now_ns - self._heard_ns <= self._timeout_ns:
            raise InputError(f"joint_command: got a command signed {writer!r}, expected {self._writer!r} alone")
        self._writer, self._heard_ns = writer, now_ns


def _rivals(node: Node, sources: Iterable[str]) -> tuple[Fault, ...]:
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
