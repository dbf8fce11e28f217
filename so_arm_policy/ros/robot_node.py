"""The shell of whatever stands for a robot: follows joint_command, publishes joint_states on every tick."""

import time
from abc import abstractmethod
from dataclasses import dataclass
from typing import TypeVar

from sensor_msgs.msg import JointState

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.latest import Latest
from so_arm_policy.core.ticks import Tick
from so_arm_policy.core.timegrid import CONTROL_HZ, NS
from so_arm_policy.core.values import MotorCommand
from so_arm_policy.ros import convert, topics
from so_arm_policy.ros.node import age_ms
from so_arm_policy.ros.params import parameter
from so_arm_policy.ros.sole_writer import Followed
from so_arm_policy.ros.tick_node import TickNode, TickNodeConfig


@dataclass(frozen=True, kw_only=True)
class RobotNodeConfig(TickNodeConfig):
    """Parameters of robot nodes."""

    publish_clock: bool = parameter(False, "be the source of /clock: one tick of robot time for each tick")
    command_timeout_s: float = parameter(0.1, "silence of joint_command that counts as held", low=0.0, high=10.0)
    any_writer: bool = parameter(False, "obey joint_command of others than the safety supervisor too, unchecked")


C = TypeVar("C", bound=RobotNodeConfig)


class RobotNode(TickNode[C]):
    """Takes the newest usable command of one supervisor; without one the robot keeps the last, which holds it."""

    def __init__(self, name: str, config_type: type[C]) -> None:
        """Raises ConfigError."""
        super().__init__(name, config_type)
        self._commands: Latest[MotorCommand] = Latest()
        self._limp = False
        self._commanded_ns: int | None = None
        self._followed = Followed(round(self.config.command_timeout_s * NS), anybody=self.config.any_writer)
        self._states = self.speak(topics.JOINT_STATES)
        self._clock_topic = self.speak(topics.CLOCK) if self.config.publish_clock else None
        self._began_ns = time.monotonic_ns()
        self.steps = 0
        self.listen(topics.JOINT_COMMAND, self._on_command)

    @abstractmethod
    def advance(self, command: FloatArray | None) -> tuple[FloatArray, FloatArray] | None:
        """Move one tick towards `command` (n,) rad, None for the last one; return positions and velocities.

        None when they are not known in this tick: then no joint_states are published.
        """

    @abstractmethod
    def set_limp(self, limp: bool) -> None:
        """Take the torque from the motors, or give it back; the command that comes with it is where they are."""

    @abstractmethod
    def publish_more(self, now_ns: int) -> None:
        """Publish what the robot says besides joint_states, in the tick with stamp `now_ns`."""

    def robot_time_ns(self) -> int:
        """Time for stamps: that of the steps done when this node is the clock (from 1 s on), else ROS time."""
        return NS + self.steps * NS // CONTROL_HZ if self.config.publish_clock else self.now_ns()

    def tick(self, tick: Tick) -> None:
        """Advance and publish."""
        command = self._commands.take()
        if command is not None and command.limp != self._limp:
            self._limp = command.limp
            self.set_limp(command.limp)
        state = self.advance(None if command is None else command.q)
        self.steps += 1
        now_ns = self.robot_time_ns()
        if self._clock_topic is not None:
            self._clock_topic.publish(topics.CLOCK.type(clock=convert.time_msg(now_ns)))
        if state is not None:
            self._states.publish(convert.joint_state(self.robot, now_ns, *state))
            self.counts["joint_states"] += 1
        self.publish_more(now_ns)

    def start(self) -> None:
        """Begin the ticks."""
        self._began_ns = time.monotonic_ns()
        super().start()

    def facts(self) -> dict[str, object]:
        """Return the pace and whether anybody commands."""
        now_ns, commanded_ns = time.monotonic_ns(), self._commanded_ns
        silent = commanded_ns is None or now_ns - commanded_ns > self.config.command_timeout_s * NS
        return {
            **super().facts(),
            "real_time_factor": self.steps * NS / CONTROL_HZ / max(now_ns - self._began_ns, 1),
            "holding": silent,
            "limp": self._limp,
            "joint_command_age_ms": age_ms(now_ns, commanded_ns),
        }

    def _on_command(self, msg: JointState) -> None:
        command, now_ns = convert.motor_command(msg, self.robot), time.monotonic_ns()
        self._followed.check(msg.header.frame_id, now_ns)
        self._commands.put(command)
        self._commanded_ns = now_ns
