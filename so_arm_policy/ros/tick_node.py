"""A node whose work is one call on every tick of the control grid, in a thread of its own."""

import json
import time
from abc import abstractmethod
from dataclasses import dataclass, field, replace
from typing import TypeVar

from sensor_msgs.msg import JointState

from so_arm_policy.core.ticks import Tick, TickLoop
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.core.values import JointSample
from so_arm_policy.ros import convert
from so_arm_policy.ros.node import NodeConfig, StackNode
from so_arm_policy.ros.realtime import RealtimeConfig, prepare_process, prepare_tick_thread, stay_in_background


@dataclass(frozen=True, kw_only=True)
class TickNodeConfig(NodeConfig):
    """Parameters of nodes with a tick loop."""

    realtime: RealtimeConfig = field(default_factory=RealtimeConfig)


C = TypeVar("C", bound=TickNodeConfig)

# One after another in each period, in the same order in every run: the robot says where it is, sources propose and
# begin an inference, the supervisor commands. Each meets what the others just sent, and nobody wakes while they work.
ROBOT_PHASE, SOURCE_PHASE, SUPERVISOR_PHASE = 0.0, 0.3, 0.75


class TickNode(StackNode[C]):
    """Runs `tick` at the control rate and says in its diagnostics how punctual that was."""

    in_background = False  # whether the ticks of other nodes go first
    phase = ROBOT_PHASE  # of the ticks in the period

    def __init__(self, name: str, config_type: type[C]) -> None:
        """Raises ConfigError."""
        super().__init__(name, config_type)
        self.loop = TickLoop(self.tick, self.tick_rate_hz(), self.phase)
        realtime = self.config.realtime
        self._realtime = replace(realtime, slice_us=0) if self.in_background else realtime
        self.sample: JointSample | None = None

    def tick_rate_hz(self) -> int:
        """Ticks a second; by default the control rate."""
        return CONTROL_HZ

    @abstractmethod
    def tick(self, tick: Tick) -> None:
        """Do the work of one tick."""

    def due_ns(self, tick: Tick, now_ns: int) -> int:
        """Return when `tick` was due in ROS time, seen at `now_ns`.

        Motion is sampled at this time, not at the present: a tick that wakes up a millisecond late would otherwise
        turn an even motion into steps of uneven length, which at 120 Hz is an acceleration of its own.
        """
        return now_ns - (tick.now_ns - tick.due_ns)

    def start(self) -> None:
        """Begin the ticks."""
        prepare_process(self._realtime, self.get_logger().warning)
        self.spawn("ticks", self._run)

    def stop(self) -> None:
        """End the ticks."""
        self.loop.stop()
        super().stop()

    def on_joint_states(self, msg: JointState) -> None:
        """Keep the newest joint state. Raises InputError."""
        self.sample = convert.joint_sample(msg, self.robot, time.monotonic_ns())

    def facts(self) -> dict[str, object]:
        """Return the punctuality since the start."""
        report = self.loop.report()
        return {
            "tick_rate_hz": report.rate_hz,
            "ticks": report.ticks,
            "ticks_missed": report.missed,
            "lateness_p50_ms": report.p50_ms,
            "lateness_p99_ms": report.p99_ms,
            "lateness_p999_ms": report.p999_ms,
            "lateness_max_ms": report.max_ms,
            "work_p50_ms": report.work_p50_ms,
            "work_p99_ms": report.work_p99_ms,
            "lateness_histogram_10us": json.dumps(self.loop.lateness.sparse(), separators=(",", ":")),
        }

    def _run(self) -> None:
        if self.in_background:
            stay_in_background()
        prepare_tick_thread(self._realtime, self.get_logger().warning)
        self.loop.run()
