"""An arm under ros2_control as it looks from outside: a controller that moves joints, a broadcaster that names them."""

import time

import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from so_arm_policy.ros import convert

PERIOD_S = 0.01
LAG_S = 0.03
DEFAULTS = QoSProfile(depth=10)  # rmw's system defaults: reliable, volatile


class FakeRos2Control(Node):
    """Servos that lag; told is every command as it came.

    joints: the controller's names in its order. velocities: False for NaN, as of hardware that knows none.
    """

    def __init__(self, joints, q, topic, states="joint_states", kind="position", velocities=True):
        super().__init__("fake_ros2_control", use_global_arguments=False)
        self.joints, self.q, self.told = list(joints), np.array(q, dtype=float), []
        self._velocities = velocities
        self._from = self._to = (time.monotonic(), self.q.copy())
        message, callback = {
            "position": (Float64MultiArray, self._on_positions),
            "trajectory": (JointTrajectory, self._on_trajectory),
        }[kind]
        self.create_subscription(message, topic, callback, DEFAULTS)
        self._states = self.create_publisher(JointState, states, DEFAULTS)
        self.create_timer(PERIOD_S, self._update)

    def _on_positions(self, msg):
        assert len(msg.data) == len(self.joints)
        self.told.append(np.array(msg.data))
        self._from = self._to = (time.monotonic(), self.told[-1])

    def _on_trajectory(self, msg):
        assert (msg.joint_names, len(msg.points)) == (self.joints, 1)
        assert convert.stamp_ns(msg.header.stamp) == 0
        now, point = time.monotonic(), msg.points[0]
        self.told.append(np.array(point.positions))
        self._from = (now, self._desired(now))
        self._to = (now + convert.stamp_ns(point.time_from_start) / 1e9, self.told[-1])

    def _desired(self, now):
        (begin, before), (end, after) = self._from, self._to
        share = 1.0 if now >= end else (now - begin) / (end - begin)
        return before + share * (after - before)

    def _update(self):
        before = self.q
        self.q = before + (self._desired(time.monotonic()) - before) * PERIOD_S / LAG_S
        dq = (self.q - before) / PERIOD_S if self._velocities else np.full(len(self.q), np.nan)
        order = np.argsort(self.joints)[::-1]  # nobody's order
        msg = JointState(name=[self.joints[i] for i in order] + ["lift_joint"])
        msg.position, msg.velocity = [*self.q[order], 0.7], [*dq[order], 0.0]
        msg.header.stamp = self.get_clock().now().to_msg()
        self._states.publish(msg)
