"""Listens to the whole stack, keeps what the report of a demo shows, and gives the instructions."""

import functools
import time

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.serialization import deserialize_message
from rclpy.task import Future
from sensor_msgs.msg import Image, JointState

from so_arm_policy.core.arrays import FloatArray, vector
from so_arm_policy.core.errors import SoArmError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.timegrid import NS
from so_arm_policy.evaluate.director import Order, TaskReading
from so_arm_policy.evaluate.recorder import NodeHistory, Recorder
from so_arm_policy.evaluate.recording import Frame
from so_arm_policy.msg import ActionChunk, SafetyStatus, SimState
from so_arm_policy.ros import convert, topics
from so_arm_policy.ros.crafted import CRAFTED
from so_arm_policy.ros.monitor import Monitor, counts_of, facts_of, reading_of
from so_arm_policy.safety.values import Mode
from so_arm_policy.sim.scene import Scene
from so_arm_policy.srv import SetScene


class DemoMonitor(Monitor):
    """Counts pictures and contexts without decoding them. reading: the newest judgement of the task."""

    def __init__(self, robot: RobotConfig) -> None:
        """robot: whose joints and cameras these are."""
        super().__init__("demo_monitor", robot)
        self._recorder: Recorder | None = None
        self._start_ns = 0
        self._status: SafetyStatus | None = None
        self._told = ("", 0)
        self._scene_text = ""
        self._q: FloatArray = robot.home
        self._pictures: dict[str, bytes] = {}
        self.state_size = 0
        self.reading: TaskReading | None = None
        self.histories: dict[str, NodeHistory] = {}
        self.listen(topics.JOINT_COMMAND, self._on_command)
        self.listen(topics.JOINT_STATES, self._on_joint_states)
        self.listen(topics.CHUNK, self._on_chunk)
        self.listen(topics.SAFETY_STATUS, self._on_status)
        self.listen(topics.SIM_STATE, self._on_state)
        self.listen(topics.SIM_TASK, self._on_task)
        self.listen(topics.DIAGNOSTICS, self._on_diagnostics)
        self.listen(topics.CONTEXT, self._on_context, raw=True)
        for source in CRAFTED.values():
            topic = topics.proposal(source)
            self.listen(topic, functools.partial(self._on_proposal, topic.name), raw=True)
        for camera in robot.camera_names:
            self.listen(topics.image(camera), functools.partial(self._on_image, camera), raw=True)

    def begin(self) -> Recorder:
        """Record from now on. Call it once a simulator's state has come."""
        assert self.scene is not None
        with self.keeping:
            self._start_ns = time.monotonic_ns()
            self._recorder = recorder = Recorder(self.robot, self.scene, self.state_size)
            if self._status is not None:
                recorder.verdicts(int(self._status.passed), counts_of(self._status), before_run=True)
                recorder.mode(0.0, Mode(self._status.state).name, self._status.reason_text)
        return recorder

    def end(self) -> None:
        """Record no more: once this returns, the recorder belongs to the caller alone."""
        with self.keeping:
            self._recorder = None

    @property
    def stopped_by(self) -> str:
        """The rule whose stop the supervisor keeps until a reset, or ""."""
        status = self._status
        return status.reason_code if status is not None and status.state == SafetyStatus.ESTOP else ""

    def now_s(self) -> float:
        """Time since the run began."""
        return (time.monotonic_ns() - self._start_ns) / NS

    def tell(self, order: Order) -> None:
        """Give an instruction to the robot and to its judge."""
        self.reading, self._told = None, (order.instruction, order.seed)
        self.instruct(order.instruction)

    def set_scene(self, scene: Scene, task: str) -> Future | None:
        """Ask the simulator to put `scene` around the arm and to judge `task`; None while there is no simulator."""
        if not self.offers(topics.SET_SCENE):
            return None
        return self.call(topics.SET_SCENE, SetScene.Request(task=task, scene=convert.scene_json(scene)))

    def keep_pictures(self, number: int, instruction: str) -> None:
        """Keep the newest picture of each camera for the report, as of try `number`."""
        for camera, data in list(self._pictures.items()):
            try:
                image = convert.camera_image(deserialize_message(data, Image), self.robot.camera(camera))
            except SoArmError as error:
                self.get_logger().error(str(error), throttle_duration_sec=5.0)
                continue
            if self._recorder is not None:
                frame = Frame(
                    time_s=self.now_s(), camera=camera, number=number, instruction=instruction, q=self._q, rgb=image.rgb
                )
                self._recorder.frame(frame)

    def _arrived(self, stream: str) -> None:
        self.heard.add(stream)
        if self._recorder is not None:
            self._recorder.arrival(stream, self.now_s())

    def _on_command(self, msg: JointState) -> None:
        self.heard.add("joint_command")
        if self._recorder is not None:
            self._recorder.command(self.now_s(), self.robot.order(msg.name, msg.position, "joint_command"))

    def _on_joint_states(self, msg: JointState) -> None:
        self.heard.add("joint_states")
        self._q = self.robot.order(msg.name, msg.position, "joint_states")
        if self._recorder is not None:
            self._recorder.measured(self.now_s(), self._q)

    def _on_chunk(self, msg: ActionChunk) -> None:
        self.heard.add("chunk")
        if self._recorder is not None:
            age_ns = convert.stamp_ns(msg.observation_stamp) - convert.stamp_ns(msg.context_stamp)
            self._recorder.chunk(self.now_s(), age_ns / NS)

    def _on_status(self, msg: SafetyStatus) -> None:
        self.heard.add("safety/status")
        self._status = msg
        if self._recorder is not None:
            self._recorder.mode(self.now_s(), Mode(msg.state).name, msg.reason_text)
            self._recorder.verdicts(int(msg.passed), counts_of(msg))

    def _on_state(self, msg: SimState) -> None:
        self.heard.add("sim/state")
        now_s = self.now_s()
        if msg.scene != self._scene_text:
            self.scene, self._scene_text, self.state_size = convert.scene(msg.scene), msg.scene, len(msg.qpos)
            if self._recorder is not None:
                self._recorder.scene(now_s, self.scene)
        if self._recorder is not None:
            self._recorder.state(now_s, vector(msg.qpos, self.state_size, "sim/state"))

    def _on_task(self, msg: DiagnosticStatus) -> None:
        reading = reading_of(msg)
        if reading is None:
            return
        self.reading = reading
        if self._recorder is not None and (reading.instruction, reading.seed) == self._told:
            self._recorder.distance(self.now_s(), reading.distance_m)

    def _on_diagnostics(self, msg: DiagnosticArray) -> None:
        for name, facts in facts_of(msg).items():
            self.heard.add(name)
            history = self.histories.setdefault(name, NodeHistory(name))
            history.hear(facts, recording=self._recorder is not None)

    def _on_context(self, data: bytes) -> None:
        self._arrived("context")

    def _on_proposal(self, stream: str, data: bytes) -> None:
        self._arrived(stream)

    def _on_image(self, camera: str, data: bytes) -> None:
        self._pictures[camera] = data
        self._arrived(camera)
