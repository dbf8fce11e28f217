"""Listens to a running stack, episode by episode, and says to it what an operator may."""

import functools
import time
from collections import deque

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from sensor_msgs.msg import CameraInfo, JointState

from so_arm_policy.core.arrays import FloatArray, vector
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.core.values import JointSample
from so_arm_policy.evaluate.compare.live.heard import Verdicts
from so_arm_policy.evaluate.recorder import NodeHistory
from so_arm_policy.msg import ActionChunk, JointCommand, SafetyStatus, SceneContext, SimState
from so_arm_policy.ros import convert, topics
from so_arm_policy.ros.homing import HOMING
from so_arm_policy.ros.live_window import Window
from so_arm_policy.ros.monitor import Monitor, counts_of, facts_of, reading_of
from so_arm_policy.safety.values import Mode

MOVING = (Mode.ACTIVE, Mode.FALLBACK)


class LiveMonitor(Monitor):
    """Fills the window of the present episode.

    sample: the newest joint state. status: the newest one; mode: that of the supervisor.
    pictures: stamp of the newest of each camera, ns.
    """

    def __init__(self, robot: RobotConfig, source: str) -> None:
        """source: who acts in the episodes."""
        super().__init__("live_monitor", robot)
        self._window: Window | None = None
        self._scene_text = ""
        self._facts: dict[str, dict[str, str]] = {}
        self._recent: deque[tuple[int, FloatArray]] = deque(maxlen=CONTROL_HZ)
        self.sample: JointSample | None = None
        self.status: Verdicts | None = None
        self.mode = Mode.INIT
        self.selected = ""
        self.pictures: dict[str, int] = {}
        self.listen(topics.JOINT_STATES, self._on_joint_states)
        self.listen(topics.JOINT_COMMAND, self._on_command)
        self.listen(topics.SAFETY_STATUS, self._on_status)
        self.listen(topics.SIM_STATE, self._on_state)
        self.listen(topics.SIM_TASK, self._on_task)
        self.listen(topics.DIAGNOSTICS, self._on_diagnostics)
        self.listen(topics.CONTEXT, self._on_context)
        self.listen(topics.CHUNK, self._on_chunk)
        self.listen(topics.proposal(source), self._on_proposal)
        for camera in robot.camera_names:
            self.listen(topics.camera_info(camera), functools.partial(self._on_picture, camera))
        homing = topics.proposal(HOMING)
        self.homing_proposals = self.create_publisher(JointCommand, homing.name, homing.qos)

    def now_ns(self) -> int:
        """ROS time."""
        return int(self.get_clock().now().nanoseconds)

    def begin(self, instruction: str, seed: int) -> Window:
        """Tell the robot and its judge; keep from now on what comes."""
        with self.keeping:
            self._window = window = Window(instruction, seed, self.now_ns(), self.status)
            window.commands.extend(self._recent)  # verdicts are counted from the last status on
            for name, facts in self._facts.items():
                window.nodes[name] = NodeHistory(name)
                window.nodes[name].hear(facts, recording=False)
        self.instruct(instruction)
        return window

    def end(self) -> None:
        """Keep nothing more: once this returns, the window belongs to the caller alone."""
        with self.keeping:
            self._window = None

    def _on_joint_states(self, msg: JointState) -> None:
        self.heard.add("joint_states")
        self.sample = sample = convert.joint_sample(msg, self.robot, time.monotonic_ns())
        if self._window is not None:
            self._window.joint(sample)

    def _on_command(self, msg: JointState) -> None:
        self.heard.add("joint_command")
        command = convert.stamp_ns(msg.header.stamp), self.robot.order(msg.name, msg.position, "joint_command")
        self._recent.append(command)
        if self._window is not None:
            self._window.commands.append(command)

    def _on_status(self, msg: SafetyStatus) -> None:
        self.heard.add("safety/status")
        self.mode, self.selected = Mode(msg.state), msg.source
        self.status = status = Verdicts(
            stamp_ns=convert.stamp_ns(msg.header.stamp),
            moving=self.mode in MOVING,
            code=msg.reason_code,
            passed=int(msg.passed),
            counts=counts_of(msg),
        )
        if self._window is not None:
            self._window.verdicts.append(status)

    def _on_state(self, msg: SimState) -> None:
        self.heard.add("sim/state")
        if msg.scene != self._scene_text:
            self.scene, self._scene_text = convert.scene(msg.scene), msg.scene
        if self._window is not None and not self._window.over:
            self._window.states.append(vector(msg.qpos, len(msg.qpos), "sim/state"))

    def _on_task(self, msg: DiagnosticStatus) -> None:
        reading = reading_of(msg)
        if reading is not None and self._window is not None:
            self._window.reading(reading)

    def _on_diagnostics(self, msg: DiagnosticArray) -> None:
        for name, facts in facts_of(msg).items():
            self.heard.add(name)
            self._facts[name] = facts
            if self._window is not None:
                self._window.diagnosed(name, facts)

    def _on_context(self, msg: SceneContext) -> None:
        if self._window is not None:
            pictured_ns = min(map(convert.stamp_ns, msg.image_stamps))
            self._window.context(msg.instruction, pictured_ns, float(msg.inference_ms))

    def _on_chunk(self, msg: ActionChunk) -> None:
        if self._window is not None:
            self._window.chunk(convert.stamp_ns(msg.context_stamp))

    def _on_proposal(self, msg: JointCommand) -> None:
        if self._window is not None and self._window.let_act and not self._window.over:
            made_ns, seen_ns = convert.stamp_ns(msg.header.stamp), convert.stamp_ns(msg.observation_stamp)
            self._window.proposals.append((made_ns, seen_ns))

    def _on_picture(self, camera: str, msg: CameraInfo) -> None:
        self.heard.add(camera)
        self.pictures[camera] = taken_ns = convert.stamp_ns(msg.header.stamp)
        if self._window is not None:
            self._window.pictures.append(taken_ns)
