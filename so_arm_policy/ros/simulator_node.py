"""The embedded simulator as a robot on the ROS graph."""

import sys
from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticStatus
from std_msgs.msg import String

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import InputError
from so_arm_policy.ros import convert, topics
from so_arm_policy.ros.params import parameter
from so_arm_policy.ros.robot_node import RobotNode, RobotNodeConfig
from so_arm_policy.ros.run import run_node
from so_arm_policy.sim.simulator import Simulator
from so_arm_policy.sim.tasks import make_task
from so_arm_policy.sim.tasks.task import TaskStatus, Tracker

STATE_TICKS = 4  # sim/state at 30 Hz
TASK_TICKS = 12  # sim/task at 10 Hz


@dataclass(frozen=True, kw_only=True)
class SimulatorConfig(RobotNodeConfig):
    """Parameters of the simulator node."""

    task: str = parameter("reach", "task that is judged on sim/task and whose scene is drawn")
    seed: int = parameter(0, "seed of the scene", low=0, high=2**31 - 1)


class SimulatorNode(RobotNode[SimulatorConfig]):
    """MuJoCo in real time; cameras draw their pictures from its state in processes of their own."""

    def __init__(self) -> None:
        """Raises ConfigError."""
        super().__init__("simulator", SimulatorConfig)
        self._task = make_task(self.config.task)
        scene = self._task.sample(self.config.seed).scene
        self._simulator = Simulator(self.robot, scene)
        self._scene_json = convert.scene_json(scene)
        self._instruction = ""
        self._tracker: Tracker | None = None
        self._task_status: TaskStatus | None = None
        self._sim_states = self.speak(topics.SIM_STATE)
        self._task_states = self.speak(topics.SIM_TASK)
        self.listen(topics.INSTRUCTION, self._on_instruction)

    def advance(self, command: FloatArray | None) -> tuple[FloatArray, FloatArray]:
        """Step the physics by one tick and judge the task."""
        self._simulator.step(command)
        tracker = self._tracker
        self._task_status = tracker.update(self._simulator) if tracker else None
        return self._simulator.q, self._simulator.dq

    def publish_more(self, now_ns: int) -> None:
        """Publish the state to draw and how far the task is."""
        if self.steps % STATE_TICKS == 0:
            seed = self._simulator.scene.seed
            self._sim_states.publish(convert.sim_state_msg(self._scene_json, seed, self._simulator.qpos, now_ns))
        if self.steps % TASK_TICKS == 0:
            self._task_states.publish(self._task_msg())

    def _on_instruction(self, msg: String) -> None:
        self._instruction, self._tracker = msg.data, None
        try:
            self._tracker = self._task.tracker(self._task.meaning(self._simulator.scene, msg.data))
        except InputError as error:
            raise InputError(f"task {self._task.name}: {error}; not judged") from error

    def _task_msg(self) -> DiagnosticStatus:
        status = self._task_status
        values: dict[str, object] = {"task": self._task.name, "instruction": self._instruction}
        if status is not None:
            values |= {"distance_m": status.distance_m, "held_s": status.held_s, "success": status.success}
        message = "nothing to judge" if status is None else "done" if status.success else "under way"
        return DiagnosticStatus(name=self._task.name, message=message, values=list(convert.key_values(values)))


def main() -> int:
    """Run the node."""
    return run_node(SimulatorNode)


if __name__ == "__main__":
    sys.exit(main())
