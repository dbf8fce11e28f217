"""What the monitors of demos and of live episodes share: to hear everything, and to say what an operator may."""

import threading
from collections.abc import Callable
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.task import Future
from std_msgs.msg import String

from so_arm_policy.core.errors import SoArmError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.evaluate.director import TaskReading
from so_arm_policy.msg import SafetyStatus
from so_arm_policy.ros import topics
from so_arm_policy.sim.scene import Scene

DEPTH = 512  # of every queue here: a monitor that was kept waiting must not count fewer messages than were sent
SERVICES = (topics.SET_SCENE, topics.SELECT, topics.RESET)


class Monitor(Node):
    """Its callbacks only store, one at a time.

    heard: the streams and nodes of which something came. scene: what the simulator says is around the arm, if anything.
    """

    def __init__(self, name: str, robot: RobotConfig) -> None:
        """robot: whose joints and cameras these are."""
        super().__init__(name)
        self.robot = robot
        self.keeping = threading.Lock()  # taken by every callback
        self.heard: set[str] = set()
        self.scene: Scene | None = None
        self._instructions = self.create_publisher(String, topics.INSTRUCTION.name, topics.INSTRUCTION.qos)
        self._asked = {s.name: self.create_client(s.type, s.name) for s in SERVICES}

    def instruct(self, instruction: str) -> None:
        """Give an instruction to the robot and to its judge."""
        self._instructions.publish(String(data=instruction))

    def offers(self, service: topics.Service) -> bool:
        """Whether somebody answers calls of `service`."""
        return bool(self._asked[service.name].service_is_ready())

    def call(self, service: topics.Service, request: Any) -> Future:
        """Ask for something; the answer comes later, and never where nobody offers the service."""
        return self._asked[service.name].call_async(request)

    def forget(self, service: topics.Service, asked: Future) -> None:
        """Wait no longer for the answer to a `call`."""
        self._asked[service.name].remove_pending_request(asked)

    def listen(self, topic: topics.Topic, callback: Callable[[Any], None], raw: bool = False) -> None:
        """Hear every message of `topic`; one that makes no sense is named in the log. raw: as bytes, not decoded."""

        def guarded(msg: Any) -> None:
            try:
                with self.keeping:
                    callback(msg)
            except SoArmError as error:
                self.get_logger().error(str(error), throttle_duration_sec=5.0)

        qos = QoSProfile(depth=DEPTH, reliability=topic.qos.reliability, durability=topic.qos.durability)
        self.create_subscription(topic.type, topic.name, guarded, qos, raw=raw)


def reading_of(msg: DiagnosticStatus) -> TaskReading | None:
    """Return what the judge says, or None while it has nothing to judge."""
    values = {item.key: item.value for item in msg.values}
    if "distance_m" not in values:
        return None
    return TaskReading(
        seed=int(values["seed"]),
        instruction=values["instruction"],
        distance_m=float(values["distance_m"]),
        time_s=float(values["time_s"]),
        done_s=float(values["done_s"]) if "done_s" in values else None,
        held_s=float(values["held_s"]),
    )


def counts_of(msg: SafetyStatus) -> dict[str, int]:
    """Return the supervisor's counters by reason."""
    return {str(rule): int(count) for rule, count in zip(msg.rules, msg.counts, strict=True)}


def facts_of(msg: DiagnosticArray) -> dict[str, dict[str, str]]:
    """Return the facts of each node, by its name."""
    return {s.name.rpartition("/")[2]: {item.key: item.value for item in s.values} for s in msg.status}
