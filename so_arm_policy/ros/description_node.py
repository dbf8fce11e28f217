"""The robot's description for everyone else: robot_description, and where its links and cameras are on /tf.

One way everywhere: the wheels have no robot_state_publisher, and where ROS has it, that would say the same.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3
from rclpy.qos import HistoryPolicy, QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from tf2_msgs.msg import TFMessage

from so_arm_policy.core.latest import Latest
from so_arm_policy.core.timegrid import NS
from so_arm_policy.core.values import JointSample
from so_arm_policy.ros import convert, topics
from so_arm_policy.ros.node import NodeConfig, StackNode, age_ms
from so_arm_policy.ros.params import parameter
from so_arm_policy.ros.realtime import stay_in_background
from so_arm_policy.ros.run import run_node
from so_arm_policy.sim.robot_tree import Frame, child_pose, quaternion_of, robot_tree
from so_arm_policy.sim.urdf import mesh_folder, urdf

WAIT_S = 0.2
TF = topics.Topic("/tf", TFMessage, QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=100))  # as tf2_ros has it
TF_STATIC = topics.Topic("/tf_static", TFMessage, topics.LATCHED)


@dataclass(frozen=True, kw_only=True)
class DescriptionConfig(NodeConfig):
    """Parameters of the description node."""

    meshes: str = parameter("", "what addresses of meshes begin with; empty: the files on this machine; none: boxes")
    rate_hz: float = parameter(30.0, "transforms of moving links a second, at most", low=1.0, high=1000.0)


class DescriptionNode(StackNode[DescriptionConfig]):
    """Publishes the URDF and the fixed transforms once, and those of the joints as joint_states come."""

    def __init__(self) -> None:
        """Raises ConfigError."""
        super().__init__("description", DescriptionConfig)
        tree = robot_tree(self.robot)
        self._moving = [frame for frame in tree if frame.joint is not None]
        self._fixed = [frame for frame in tree if frame.joint is None]
        meshes = {"": mesh_folder(), "none": ""}.get(self.config.meshes, self.config.meshes)
        self._urdf = urdf(self.robot, meshes)
        self._samples: Latest[JointSample] = Latest()
        self._stamp_ns: int | None = None
        self._descriptions = self.speak(topics.ROBOT_DESCRIPTION)
        self._fixed_transforms = self.speak(TF_STATIC)
        self._transforms = self.speak(TF)
        self.listen(topics.JOINT_STATES, self._on_joint_states)

    def start(self) -> None:
        """Publish what does not change, and begin with the rest."""
        self._descriptions.publish(String(data=self._urdf))
        self._fixed_transforms.publish(transforms(self._fixed, {}, self.now_ns()))
        self.spawn("transforms", self._run)

    def stop(self) -> None:
        """End."""
        self._samples.close()
        super().stop()

    def facts(self) -> dict[str, object]:
        """Return how old the newest transforms are."""
        return {"tf_age_ms": age_ms(self.now_ns(), self._stamp_ns)}

    def _on_joint_states(self, msg: JointState) -> None:
        self._samples.put(convert.joint_sample(msg, self.robot, time.monotonic_ns()))

    def _run(self) -> None:
        stay_in_background()
        period_ns, next_ns = round(NS / self.config.rate_hz), time.monotonic_ns()
        while not self.stopping.is_set():
            sample = self._samples.wait(WAIT_S)
            # A stamp that is known already, as of a simulator that pauses, says nothing new.
            if sample is None or sample.stamp_ns == self._stamp_ns:
                continue
            angles = dict(zip(self.robot.joint_names, sample.q.tolist(), strict=True))
            self._transforms.publish(transforms(self._moving, angles, sample.stamp_ns))
            self._stamp_ns = sample.stamp_ns
            self.counts["tf"] += 1
            now_ns = time.monotonic_ns()
            next_ns = max(next_ns + period_ns, now_ns)
            self.stopping.wait((next_ns - now_ns) / NS)


def transforms(frames: Sequence[Frame], angles: dict[str, float], stamp_ns: int) -> TFMessage:
    """Return where `frames` are in their parents, with the joints at `angles`, rad."""
    msg = TFMessage()
    for frame in frames:
        pose = child_pose(frame, angles[frame.joint.name] if frame.joint else 0.0)
        w, x, y, z = quaternion_of(pose.rotation).tolist()
        px, py, pz = pose.position.tolist()
        placed = Transform(translation=Vector3(x=px, y=py, z=pz), rotation=Quaternion(w=w, x=x, y=y, z=z))
        stamped = TransformStamped(child_frame_id=frame.name, transform=placed)
        stamped.header.frame_id = frame.parent
        stamped.header.stamp = convert.time_msg(stamp_ns)
        msg.transforms.append(stamped)
    return msg


def main() -> int:
    """Run the node."""
    return run_node(DescriptionNode)


if __name__ == "__main__":
    sys.exit(main())
