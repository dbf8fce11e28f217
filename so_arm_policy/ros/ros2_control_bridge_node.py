"""An arm that is under ros2_control already: joint_command to its controllers, its joint states to the stack."""

import sys
import time
from dataclasses import dataclass
from typing import Any

from rclpy.clock import Clock, ClockType
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import InputError
from so_arm_policy.core.timegrid import NS
from so_arm_policy.robot.controllers import POSITION, Controller, Joining, load_controllers
from so_arm_policy.ros import convert, topics
from so_arm_policy.ros.node import NodeConfig, StackNode, age_ms
from so_arm_policy.ros.params import parameter
from so_arm_policy.ros.run import run_node
from so_arm_policy.ros.sole_writer import UNNAMED, Followed

STALE_NS = NS // 5
LOOK_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Ros2ControlBridgeConfig(NodeConfig):
    """Parameters of the bridge."""

    controllers: str = parameter(
        "ros_physical_ai", "topics and joints of the controllers: a shipped file (config/ros2_control) or a path"
    )
    command_timeout_s: float = parameter(0.1, "silence of joint_command that counts as held", low=0.0, high=10.0)
    any_writer: bool = parameter(False, "obey joint_command of others than the safety supervisor too, unchecked")


class Ros2ControlBridgeNode(StackNode[Ros2ControlBridgeConfig]):
    """Passes each command on as it comes, and nothing else: controllers hold what they were told last."""

    def __init__(self) -> None:
        """Raises ConfigError."""
        super().__init__("ros2_control_bridge", Ros2ControlBridgeConfig)
        given = load_controllers(self.config.controllers)
        placed = zip(given.controllers, given.places(self.robot), strict=True)
        self._outputs = [(self.speak(_topic(controller)), controller, places) for controller, places in placed]
        silence_ns = round(self.config.command_timeout_s * NS)
        self._followed = Followed(silence_ns, anybody=self.config.any_writer)
        self._joining = Joining(self.robot, silence_ns, STALE_NS)
        self._others: tuple[str, ...] = ()
        self._commanded_ns: int | None = None
        self._measured_ns: int | None = None
        theirs = topics.Topic(given.joint_states, JointState, topics.SENSOR)
        own = self.resolve_topic_name(topics.JOINT_STATES.name)
        # Where the broadcaster speaks under the stack's own name, everybody hears it without this node.
        self._states = None if self.resolve_topic_name(theirs.name) == own else self.speak(topics.JOINT_STATES)
        self.listen(theirs, self._on_states)
        self.listen(topics.JOINT_COMMAND, self._on_command)
        self.create_timer(LOOK_S, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def facts(self) -> dict[str, object]:
        """Return whether anybody commands, and how old the joints are."""
        now_ns, commanded_ns = time.monotonic_ns(), self._commanded_ns
        silent = commanded_ns is None or now_ns - commanded_ns > self.config.command_timeout_s * NS
        listeners = {speaks.topic_name: speaks.get_subscription_count() for speaks, _, _ in self._outputs}
        return {
            "holding": silent,
            "joint_command_age_ms": age_ms(now_ns, commanded_ns),
            "joint_states_age_ms": age_ms(now_ns, self._measured_ns),
            **{f"listeners: {topic}": count for topic, count in listeners.items()},
        }

    def _on_states(self, msg: JointState) -> None:
        q = self.robot.order(msg.name, msg.position, "joint_states position")
        self._measured_ns = time.monotonic_ns()
        self._joining.note(q, self._measured_ns)
        if self._states is not None:
            stamp_ns = convert.stamp_ns(msg.header.stamp)
            self._states.publish(convert.joint_state(self.robot, stamp_ns, q, self._velocities(msg)))

    def _velocities(self, msg: JointState) -> FloatArray | None:
        try:  # a broadcaster says NaN where the hardware knows no velocities
            return self.robot.order(msg.name, msg.velocity, "joint_states velocity")
        except InputError:
            return None

    def _on_command(self, msg: JointState) -> None:
        command, now_ns = convert.motor_command(msg, self.robot), time.monotonic_ns()
        self._followed.check(msg.header.frame_id, now_ns)
        if command.limp:
            self._joining.part()
            raise InputError("joint_command: got a limp one, expected one that these controllers can do; they hold")
        if self._others:
            self._joining.part()
            raise InputError(f"controllers: got commands of {', '.join(self._others)} too, expected this node alone")
        self._joining.check(command.q, now_ns)
        for speaks, controller, places in self._outputs:
            speaks.publish(_message(controller, command.q[places]))
        self._commanded_ns = now_ns
        self.counts["commands"] += 1

    def _look(self) -> None:
        others = set()
        for speaks, _, _ in self._outputs:
            topic = speaks.topic_name
            ends = self.get_publishers_info_by_topic(topic)
            others |= {f"{e.node_namespace.rstrip('/')}/{e.node_name}" for e in ends if e.node_name != UNNAMED}
            if not speaks.get_subscription_count():
                self.report(topic, f"{topic}: nobody listens; is its controller there?")
        self._others = tuple(sorted(others - {self.get_fully_qualified_name()}))


def _topic(controller: Controller) -> topics.Topic:
    kind = Float64MultiArray if controller.kind == POSITION else JointTrajectory
    return topics.Topic(controller.topic, kind, topics.RELIABLE)


def _message(controller: Controller, q: FloatArray) -> Any:
    """Return what tells the controller to go to q, rad, of its joints in its order."""
    if controller.kind == POSITION:
        return Float64MultiArray(data=convert.doubles(q))
    point = JointTrajectoryPoint(positions=convert.doubles(q))
    point.time_from_start = convert.duration_msg(round(controller.reach_s * NS))
    # No stamp: it counts from when it arrives.
    return JointTrajectory(joint_names=list(controller.joints), points=[point])


def main() -> int:
    """Run the node."""
    return run_node(Ros2ControlBridgeNode)


if __name__ == "__main__":
    sys.exit(main())
