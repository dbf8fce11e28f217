"""Between two tries of a demo: the reset of a stop that a rule made, as an operator would do it."""

from rclpy.task import Future
from std_srvs.srv import Trigger

from so_arm_policy.ros import topics
from so_arm_policy.ros.demo_monitor import DemoMonitor

ASKED_FOR = "estop.request"  # a person's stop is a person's to reset
AGAIN_S = 0.5  # a reset is refused while the arm still moves or the fault lasts
PATIENCE_S = 3.0  # then the next try begins and fails: a demo of a robot that stands does not end as a success


class Resets:
    """Asks for a reset while the supervisor waits for one."""

    def __init__(self, monitor: DemoMonitor) -> None:
        """monitor: hears of stops, and asks."""
        self._monitor = monitor
        self._asked: Future | None = None
        self._asked_s = 0.0
        self._since_s: float | None = None

    def waits(self, now_s: float) -> bool:
        """Whether the next try has to wait for a reset; call it again soon."""
        if self._monitor.stopped_by in ("", ASKED_FOR):
            self._since_s = None
            return False
        if self._since_s is None:
            self._since_s, self._asked_s = now_s, now_s - AGAIN_S
        if now_s - self._asked_s >= AGAIN_S:
            self._ask()
            self._asked_s = now_s
        return now_s - self._since_s < PATIENCE_S

    def _ask(self) -> None:
        if self._asked is not None:
            self._monitor.forget(topics.RESET, self._asked)
            self._asked = None
        if self._monitor.offers(topics.RESET):
            self._asked = self._monitor.call(topics.RESET, Trigger.Request())
