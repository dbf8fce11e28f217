"""Publishes what a playback yields: one thread reads ahead, one publishes when a message is due."""

import queue
import threading
import time

from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

from so_arm_policy.core.ticks import Histogram
from so_arm_policy.core.timegrid import CONTROL_HZ, NS
from so_arm_policy.evaluate.bags.playback import Item, Playback
from so_arm_policy.ros import convert, topics
from so_arm_policy.ros.message_types import message_class

AHEAD = 500  # messages read before they are due
DEPTH = 10
WAIT_S = 0.2


class Player:
    """Plays to `node`'s graph. played: messages published; lateness: of each, after it was due."""

    def __init__(self, node: Node, playback: Playback, clock: bool) -> None:
        """clock: publish the recorded time on /clock, as often as a control loop ticks."""
        self._node, self._playback = node, playback
        self._ahead: queue.Queue[Item | None] = queue.Queue(AHEAD)
        self._speakers: dict[tuple[str, str], Publisher | None] = {}
        self._clock = node.create_publisher(topics.CLOCK.type, topics.CLOCK.name, topics.CLOCK.qos) if clock else None
        self._clock_due_ns = 0
        self.played = 0
        self.lateness = Histogram()

    def prepare(self) -> None:
        """Make the publishers of the topics that the bag names beforehand, so that listeners find them in time."""
        renamed = self._playback.options.topic_names
        for topic, kind in self._playback.bag.kinds.items():
            if self._playback.is_played(topic) and not self._playback.is_unpacked(kind):
                self._speaker(renamed.get(topic, topic), kind)

    def read(self, stopping: threading.Event) -> None:
        """Read ahead until the end of the bag. Raises InputError for a bag with nothing to play."""
        try:
            for item in self._playback.items():
                if self._speaker(item.topic, item.kind) is None:
                    self._playback.skipped[f"{item.topic}: {item.kind}"] += 1
                elif not self._put(item, stopping):
                    return
        finally:
            self._put(None, stopping)

    def play(self, stopping: threading.Event, began_ns: int) -> None:
        """Publish what is due, on the monotonic clock from `began_ns` on, until the end of the bag."""
        while not stopping.is_set():
            try:
                item = self._ahead.get(timeout=WAIT_S)
            except queue.Empty:
                continue
            if item is None:
                return
            due_ns = began_ns + item.due_ns
            self._wait(due_ns, item.time_ns, stopping)
            speaker = self._speaker(item.topic, item.kind)
            assert speaker is not None
            speaker.publish(item.data)
            self.lateness.add(time.monotonic_ns() - due_ns)
            self.played += 1

    def _put(self, item: Item | None, stopping: threading.Event) -> bool:
        while not stopping.is_set():
            try:
                self._ahead.put(item, timeout=WAIT_S)
            except queue.Full:
                continue
            return True
        return False

    def _wait(self, due_ns: int, recorded_ns: int, stopping: threading.Event) -> None:
        while not stopping.is_set():
            now_ns = time.monotonic_ns()
            left_ns = due_ns - now_ns
            if self._clock is not None and (now_ns >= self._clock_due_ns or left_ns <= 0):
                self._say_time(max(recorded_ns - round(max(left_ns, 0) * self._playback.options.rate), 0))
                self._clock_due_ns = now_ns + NS // CONTROL_HZ
            if left_ns <= 0:
                return
            until_ns = min(due_ns, self._clock_due_ns) if self._clock is not None else due_ns
            time.sleep(min(max(until_ns - time.monotonic_ns(), 0) / NS, WAIT_S))

    def _say_time(self, at_ns: int) -> None:
        assert self._clock is not None
        self._clock.publish(topics.CLOCK.type(clock=convert.time_msg(at_ns)))

    def _speaker(self, topic: str, kind: str) -> Publisher | None:
        """Return the publisher of a topic; None where its type is not installed, or its name cannot be used."""
        key = topic, kind
        if key not in self._speakers:
            made = message_class(kind)
            taken = topic == topics.CLOCK.name and self._clock is not None
            self._speakers[key] = None if made is None or taken else self._make(made, topic)
        return self._speakers[key]

    def _make(self, made: type, topic: str) -> Publisher | None:
        recorded = self._playback.bag.qualities.get(topic, ())
        best_effort = any(q.reliability == "BEST_EFFORT" for q in recorded)
        # Where the bag does not say, the strongest offer, which every listener takes.
        latched = all(q.durability == "TRANSIENT_LOCAL" for q in recorded)
        qos = QoSProfile(
            history=HistoryPolicy.KEEP_LAST,
            depth=max(DEPTH, *(q.depth for q in recorded), 0),
            reliability=ReliabilityPolicy.BEST_EFFORT if best_effort else ReliabilityPolicy.RELIABLE,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
        )
        try:
            return self._node.create_publisher(made, topic, qos)
        except Exception as error:  # noqa: BLE001 - rclpy has no one error for a name from a bag that is none
            self._node.get_logger().warning(f"topic {topic!r}: got {error}: not played")
            return None
