"""Isaac Sim as the stack meets it: MuJoCo with the topics, QoS and clock of so_arm_policy/sim/isaac/graph.py.

Time begins at 0 with the first frame, one step of it a frame, and stands while it pauses; then nothing is published.
The newest command is followed, whoever sent it. Pictures come with every fourth frame at 120 Hz.
"""

import threading
import time

import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState

from so_arm_policy.core.timegrid import CONTROL_HZ, NS
from so_arm_policy.core.values import CameraImage
from so_arm_policy.ros import convert
from so_arm_policy.sim.isaac.graph import ros_graph
from so_arm_policy.sim.simulator import Simulator

RELIABLE = QoSProfile(depth=10)  # what nodes of Isaac Sim have by default


class FakeIsaac(Node):
    """Runs in threads of its own; `pause` and `resume` are the buttons of its window."""

    def __init__(self, robot, scene, *, rate_hz=CONTROL_HZ):
        """rate_hz: frames a second of simulated time, a divisor of 120."""
        super().__init__("isaac_sim", use_global_arguments=False)
        self.robot, self.simulator = robot, Simulator(robot, scene)
        self._steps = CONTROL_HZ // rate_hz
        self._rate_hz = rate_hz
        self.frames = 0
        self._command = None
        self._ended, self._playing, self._again = threading.Event(), threading.Event(), threading.Event()
        self._scene = scene
        self._says = self._of_graph(ros_graph(robot, 6, rate_hz))
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _of_graph(self, graph):
        """The topics are those that the graph for Isaac Sim names."""
        kinds = {"ROS2PublishClock": Clock, "ROS2PublishJointState": JointState}
        kinds |= {"ROS2CameraHelper": Image, "ROS2CameraInfoHelper": CameraInfo}
        made = {}
        for node in graph.nodes:
            kind, topic = node.type.rpartition(".")[2], node.values.get("topicName")
            if kind == "ROS2SubscribeJointState":
                profile = QoSProfile(depth=node.values["queueSize"])
                self.create_subscription(JointState, topic, self._on_command, profile)
            elif topic:
                # The clock's node is in no namespace.
                name = f"/{topic}" if kind == "ROS2PublishClock" else topic
                made[topic] = self.create_publisher(kinds[kind], name, RELIABLE)
        return made

    def start(self):
        """Nothing is said before `play`."""

    def play(self):
        self._thread.start()
        self._playing.set()

    def pause(self):
        self._playing.clear()

    def resume(self):
        self._playing.set()

    def restart(self):
        """Its process begins anew: time at 0, the arm at home, nothing heard."""
        self._playing.clear()
        self._again.set()
        self._playing.set()

    def stop(self):
        self._ended.set()
        self._playing.set()
        if self._thread.ident is not None:
            self._thread.join(timeout=5.0)

    @property
    def time_ns(self):
        return self.frames * NS // self._rate_hz

    def _on_command(self, msg):
        self._command = np.array([msg.position[list(msg.name).index(n)] for n in self.robot.joint_names])

    def _run(self):
        due_s = time.monotonic()
        while not self._ended.is_set():
            self._playing.wait()
            if self._again.is_set():
                self._again.clear()
                self.simulator, self._command, self.frames = Simulator(self.robot, self._scene), None, 0
            for _ in range(self._steps):
                self.simulator.step(self._command)
            self._publish()
            self.frames += 1
            now_s = time.monotonic()
            due_s = max(due_s + 1.0 / self._rate_hz, now_s)
            self._ended.wait(due_s - now_s)

    def _publish(self):
        now_ns = self.time_ns
        self._says["clock"].publish(Clock(clock=convert.time_msg(now_ns)))
        state = convert.joint_state(self.robot, now_ns, self.simulator.q, self.simulator.dq)
        state.effort = self.simulator.torque.tolist()
        self._says["joint_states"].publish(state)
        for camera in self.robot.cameras:
            if self.frames % round(self._rate_hz / camera.fps) == 0:
                grey = np.full((camera.height, camera.width, 3), 128, np.uint8)
                picture = CameraImage(camera=camera.name, stamp_ns=now_ns, rgb=grey)
                self._says[f"{camera.name}/image_raw"].publish(convert.image_msg(picture, camera.frame_id))
                info = convert.camera_info_msg(camera)
                info.header.stamp = convert.time_msg(now_ns)
                self._says[f"{camera.name}/camera_info"].publish(info)
