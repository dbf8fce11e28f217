"""The embedded simulator as a robot on the ROS graph."""

import sys
from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticStatus
from std_msgs.msg import String

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import ConfigError, InputError, SoArmError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.robot.description import load_robot
from so_arm_policy.ros import convert, topics
from so_arm_policy.ros.params import parameter
from so_arm_policy.ros.robot_node import RobotNode, RobotNodeConfig
from so_arm_policy.ros.run import run_node
from so_arm_policy.ros.scene_service import SceneRequest, SceneService
from so_arm_policy.sim.rearrange import rearrange
from so_arm_policy.sim.simulator import Simulator
from so_arm_policy.sim.tasks import make_task
from so_arm_policy.sim.tasks.task import Task, TaskStatus, Tracker

MOTOR_TICKS = 6  # motor_states at 20 Hz
STATE_TICKS = 4  # sim/state at 30 Hz
TASK_TICKS = 12  # sim/task at 10 Hz


@dataclass(frozen=True, kw_only=True)
class SimulatorConfig(RobotNodeConfig):
    """Parameters of the simulator node."""

    task: str = parameter("reach", "task that is judged on sim/task and whose scene is drawn")
    seed: int = parameter(0, "seed of the scene", low=0, high=2**31 - 1)


class Judgement:
    """One instruction under way. done_s: simulated seconds from hearing it to its success, None before."""

    def __init__(self, tracker: Tracker) -> None:
        """tracker: of what the instruction means."""
        self._tracker = tracker
        self.ticks = 0
        self.status: TaskStatus | None = None
        self.done_s: float | None = None

    def update(self, simulator: Simulator) -> bool:
        """Look at one tick; return whether it is done for the first time."""
        self.status = self._tracker.update(simulator)
        self.ticks += 1
        if self.done_s is not None or not self.status.success:
            return False
        self.done_s = self.ticks / CONTROL_HZ
        return True

    def values(self) -> dict[str, object]:
        """Return the figures for sim/task, none before the first tick."""
        status, done_s = self.status, self.done_s
        if status is None:
            return {}
        figures = {"distance_m": status.distance_m, "held_s": status.held_s, "time_s": self.ticks / CONTROL_HZ}
        return {**figures, "success": done_s is not None, **({} if done_s is None else {"done_s": done_s})}


class SimulatorNode(RobotNode[SimulatorConfig]):
    """MuJoCo in real time; cameras draw their pictures from its state in processes of their own."""

    def __init__(self, name: str = "simulator", config_type: type[SimulatorConfig] = SimulatorConfig) -> None:
        """Raises ConfigError."""
        super().__init__(name, config_type)
        self._task = check_task(make_task(self.config.task), self.robot)
        scene = self._task.sample(self.config.seed).scene
        self.simulator = Simulator(self.robot, scene)
        self._scene_json = convert.scene_json(scene)
        self._instruction = ""
        self._judgement: Judgement | None = None
        self._just_done = False
        self._sim_states = self.speak(topics.SIM_STATE)
        self._motor_states = self.speak(topics.MOTOR_STATES)
        self._task_states = self.speak(topics.SIM_TASK)
        self._scenes = SceneService(self)
        self.listen(topics.INSTRUCTION, self._on_instruction)

    def advance(self, command: FloatArray | None) -> tuple[FloatArray, FloatArray]:
        """Step the physics by one tick and judge the task."""
        request = self._scenes.take()
        if request is not None:
            self._set_scene(request)
        self.simulator.step(command)
        judgement = self._judgement
        self._just_done = judgement is not None and judgement.update(self.simulator)
        return self.simulator.q, self.simulator.dq

    def set_limp(self, limp: bool) -> None:
        """Let the arms fall, or hold them."""
        self.simulator.limp = limp

    def publish_more(self, now_ns: int) -> None:
        """Publish motors, the state to draw, and how far the task is: regularly, and at once when it is done."""
        if self.steps % MOTOR_TICKS == 0:
            report = self.simulator.motors(now_ns, now_ns)
            self._motor_states.publish(convert.motor_states_msg(self.robot, report))
        if self.steps % STATE_TICKS == 0:
            seed = self.simulator.scene.seed
            self._sim_states.publish(convert.sim_state_msg(self._scene_json, seed, self.simulator.qpos, now_ns))
        if self.steps % TASK_TICKS == 0 or self._just_done:
            self._task_states.publish(self._task_msg())

    def _set_scene(self, request: SceneRequest) -> None:
        """Do what was asked for. What was told before was about other things: it is not judged any more."""
        try:
            task = check_task(request.task or self._task, self.robot)
            rearrange(self.simulator, request.scene)
        except SoArmError as error:
            self._scenes.answer(request, str(error))
            return
        self._task, self._scene_json = task, convert.scene_json(request.scene)
        self._instruction, self._judgement = "", None
        self.counts["scenes"] += 1
        self._scenes.answer(request)

    def _on_instruction(self, msg: String) -> None:
        self._instruction, self._judgement = msg.data, None
        try:
            goal = self._task.meaning(self.simulator.scene, msg.data)
        except InputError as error:
            raise InputError(f"task {self._task.name}: {error}; not judged") from error
        self._judgement = Judgement(self._task.tracker(goal))

    def _task_msg(self) -> DiagnosticStatus:
        judgement = self._judgement
        figures = {} if judgement is None else judgement.values()
        seed = self.simulator.scene.seed
        values = {"task": self._task.name, "seed": seed, "instruction": self._instruction, **figures}
        message = "nothing to judge" if not figures else "done" if figures["success"] else "under way"
        return DiagnosticStatus(name=self._task.name, message=message, values=list(convert.key_values(values)))


def check_task(task: Task, robot: RobotConfig) -> Task:
    """Return `task`. Raises ConfigError when it is for another robot."""
    wanted = load_robot(task.robot)
    if wanted.joint_names != robot.joint_names:
        raise ConfigError(f"task {task.name}: got robot {robot.name!r}, expected one like {wanted.name!r}")
    return task


def main() -> int:
    """Run the node."""
    return run_node(SimulatorNode)


if __name__ == "__main__":
    sys.exit(main())
