"""What every node of the stack has: parameters, guarded callbacks, throttled errors, diagnostics."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.publisher import Publisher

from so_arm_policy.core.errors import SoArmError
from so_arm_policy.core.process import rss_mib
from so_arm_policy.core.ticks import Histogram
from so_arm_policy.core.timegrid import NS
from so_arm_policy.robot.description import load_robot
from so_arm_policy.ros import convert, topics
from so_arm_policy.ros.params import declare, parameter

STOP_S = 2.0  # for threads to end, well within signals.STUCK_S
REPEAT_S = 5.0  # the same complaint is logged this often


@dataclass(frozen=True, kw_only=True)
class NodeConfig:
    """Parameters that every node has."""

    robot: str = parameter("so101", "robot description: a shipped name (config/robots) or the path of a YAML file")


C = TypeVar("C", bound=NodeConfig)


class StackNode(Node, Generic[C]):
    """A node of the stack. Callbacks only store what came; `start` begins the work in threads of its own."""

    def __init__(self, name: str, config_type: type[C]) -> None:
        """Raises ConfigError for a parameter that cannot be used."""
        super().__init__(name)
        self.config: C = declare(self, config_type)
        self.robot = load_robot(self.config.robot)
        self.stopping = threading.Event()
        self.counts: Counter[str] = Counter()
        self._threads: list[threading.Thread] = []
        self._complaints: dict[str, tuple[float, str]] = {}
        self._logged: dict[str, float] = {}
        self._last_counts: tuple[float, Counter[str]] = (time.monotonic(), Counter())
        self._diagnostics = self.speak(topics.DIAGNOSTICS)
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0, self._publish_diagnostics, clock=self._steady)

    def start(self) -> None:
        """Begin the work; called once when everything is set up."""

    def stop(self) -> None:
        """End the work and wait for its threads, though not for ever."""
        self.stopping.set()
        until = time.monotonic() + STOP_S
        for thread in self._threads:
            thread.join(timeout=max(until - time.monotonic(), 0.0))

    def facts(self) -> dict[str, object]:
        """Return what this node adds to its diagnostics."""
        return {}

    def now_ns(self) -> int:
        """ROS time."""
        return int(self.get_clock().now().nanoseconds)

    def spawn(self, name: str, work: Callable[[], None]) -> None:
        """Run `work` in a thread that `stop` waits for; it must end soon after `stopping` is set."""
        thread = threading.Thread(target=work, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def speak(self, topic: topics.Topic) -> Publisher:
        """Return a publisher of `topic`."""
        return self.create_publisher(topic.type, topic.name, topic.qos)

    def listen(self, topic: topics.Topic, callback: Callable[[Any], object]) -> None:
        """Call `callback` with each message of `topic`; one that cannot be used is reported and forgotten."""
        name = topic.name

        def guarded(msg: Any) -> None:
            self.counts[name] += 1
            try:
                callback(msg)
            except SoArmError as error:
                self.report(name, str(error))

        self.create_subscription(topic.type, name, guarded, topic.qos)

    def report(self, kind: str, text: str, *, warn: bool = False) -> None:
        """Log an error (or a warning), the same kind at most every few seconds, and show it in the diagnostics."""
        now = time.monotonic()
        self._complaints[kind] = (now, text)
        self.counts[f"errors: {kind}"] += 1
        if now - self._logged.get(kind, -REPEAT_S) >= REPEAT_S:
            self._logged[kind] = now
            # One call for each severity: rclpy raises when the same line of code logs with another one.
            if warn:
                self.get_logger().warning(text)
            else:
                self.get_logger().error(text)

    def _publish_diagnostics(self) -> None:
        now = time.monotonic()
        recent = [text for at, text in list(self._complaints.values()) if now - at < REPEAT_S]
        status = DiagnosticStatus(
            level=DiagnosticStatus.WARN if recent else DiagnosticStatus.OK,
            name=self.get_fully_qualified_name().lstrip("/"),
            message="; ".join(recent) or "ok",
            hardware_id=self.robot.name,
            values=list(convert.key_values({**self._rates(now), **self.facts(), "rss_mib": rss_mib()})),
        )
        msg = DiagnosticArray(status=[status])
        msg.header.stamp = convert.time_msg(self.now_ns())
        self._diagnostics.publish(msg)

    def _rates(self, now: float) -> dict[str, object]:
        """Return rates of what was counted since the last call, and the errors so far."""
        before, counts = self._last_counts
        self._last_counts = (now, Counter(self.counts))
        rates: dict[str, object] = {}
        for name, count in sorted(self._last_counts[1].items()):
            if name.startswith("errors: "):
                rates[name] = count
            else:
                rates[f"{name} Hz"] = round((count - counts[name]) / max(now - before, 1e-3), 1)
        return rates


def age_ms(now_ns: int, stamp_ns: int | None) -> float:
    """Age for diagnostics, ms; nan for what never came."""
    return float("nan") if stamp_ns is None else (now_ns - stamp_ns) / (NS / 1000)


def percentiles(name: str, histogram: Histogram) -> dict[str, object]:
    """Return p50, p99 and maximum of `histogram` for diagnostics."""
    return {
        f"{name}_p50_ms": histogram.percentile_ms(50),
        f"{name}_p99_ms": histogram.percentile_ms(99),
        f"{name}_max_ms": histogram.max_ns / 1e6,
    }
