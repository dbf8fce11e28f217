"""Agents that were not learned and see no pictures: the scripted expert takes the true state, `hold` takes nothing."""

from collections.abc import Callable

from so_arm_policy.control.hold import Hold
from so_arm_policy.control.source import Source
from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.values import Proposal
from so_arm_policy.evaluate.agent import AgentReport, Moment
from so_arm_policy.sim.expert import Expert
from so_arm_policy.sim.tasks.task import Episode, Task


class SourceAgent:
    """Any hand-crafted source, given its goal at the start of each episode."""

    def __init__(self, source: Source, robot: RobotConfig, begin: Callable[[Episode], None]) -> None:
        """begin: tells the source what to do in an episode, after its reset."""
        self.name = source.name
        self._source = source
        self._joints = robot.joint_names
        self._begin = begin

    def reset(self, episode: Episode) -> None:
        """Reset the source and give it its goal."""
        self._source.reset()
        self._begin(episode)
        self._silent = 0

    def propose(self, moment: Moment) -> Proposal | None:
        """Return what the source wants."""
        wanted = self._source.command(moment.now_ns, moment.sample)
        if wanted is None:
            self._silent += 1
            return None
        return _proposal(self.name, self._joints, moment, wanted)

    def report(self) -> AgentReport:
        """Say how often the source was silent."""
        return AgentReport(silences={"no command": self._silent} if self._silent else {})


class ExpertAgent:
    """The scripted expert of the demonstrations: what a policy trained on them can at best do."""

    name = "expert"

    def __init__(self, task: Task, robot: RobotConfig) -> None:
        """Make the expert of `task`."""
        self._task = task
        self._joints = robot.joint_names
        self._expert = Expert(robot, task)
        self._instruction: str | None = None

    def reset(self, episode: Episode) -> None:
        """Take note of what to do; it begins with the first proposal."""
        self._instruction = episode.instruction

    def propose(self, moment: Moment) -> Proposal | None:
        """Return the next reference. Raises InputError when the goal is out of reach or not in the scene."""
        if self._instruction is not None:
            goal = self._task.meaning(moment.simulator.scene, self._instruction)
            self._expert.reset(moment.simulator, goal)
            self._instruction = None
        return _proposal(self.name, self._joints, moment, self._expert.command(moment.simulator))

    def report(self) -> AgentReport:
        """Nothing to say: it is never silent."""
        return AgentReport()


def expert_agent(task: Task, robot: RobotConfig) -> ExpertAgent:
    """Return the scripted expert; it does what the instruction says."""
    return ExpertAgent(task, robot)


def hold_agent(task: Task, robot: RobotConfig) -> SourceAgent:  # noqa: ARG001
    """Return what stays where it is: the floor of every comparison."""
    return SourceAgent(Hold(), robot, lambda episode: None)


def _proposal(source: str, joints: tuple[str, ...], moment: Moment, wanted: tuple[FloatArray, FloatArray]) -> Proposal:
    q, dq = wanted
    return Proposal(
        source=source,
        sequence=moment.tick,
        stamp_ns=moment.now_ns,
        observation_stamp_ns=moment.sample.stamp_ns,
        received_ns=moment.now_ns,
        joint_names=joints,
        q=q,
        dq=dq,
    )
