"""Agents that were not learned. They are privileged: they take the places of the cubes from the scene itself."""

from collections.abc import Callable

import numpy as np

from so_arm_policy.control.hold import Hold
from so_arm_policy.control.ik import ArmIk
from so_arm_policy.control.pid import JointPid, PidConfig
from so_arm_policy.control.source import Source
from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.values import JointSample, Proposal
from so_arm_policy.evaluate.rollout import AgentReport, Moment
from so_arm_policy.sim.arm_model import arm_spec
from so_arm_policy.sim.expert import ReachGoal, advance, reach_goal
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
        q, dq = wanted
        return Proposal(
            source=self.name,
            sequence=moment.tick,
            stamp_ns=moment.now_ns,
            observation_stamp_ns=moment.sample.stamp_ns,
            received_ns=moment.now_ns,
            joint_names=self._joints,
            q=q,
            dq=dq,
        )

    def report(self) -> AgentReport:
        """Say how often the source was silent."""
        return AgentReport(silences={"no command": self._silent} if self._silent else {})


class ExpertSource:
    """The scripted expert of the demonstrations: what a policy trained on them can at best do."""

    name = "expert"

    def __init__(self) -> None:
        """No goal yet."""
        self._goal: ReachGoal | None = None
        self.reset()

    def reset(self) -> None:
        """Start from the measured pose at the next command."""
        self._q: FloatArray | None = None
        self._dq: FloatArray | None = None

    def set_goal(self, goal: ReachGoal) -> None:
        """Go above and then to `goal`."""
        self._goal = goal

    def command(self, now_ns: int, sample: JointSample) -> tuple[FloatArray, FloatArray] | None:  # noqa: ARG002
        """Return the next reference, one tick further."""
        if self._goal is None:
            return None
        if self._q is None or self._dq is None:
            self._q, self._dq = sample.q.copy(), np.zeros_like(sample.q)
        self._q, self._dq = advance(self._q, self._dq, self._goal)
        return self._q, self._dq


def expert_agent(task: Task, robot: RobotConfig) -> SourceAgent:
    """Return the scripted expert; it does what the instruction says."""
    source, goal = ExpertSource(), GoalFinder(task, robot)
    return SourceAgent(source, robot, lambda episode: source.set_goal(goal(episode)))


def pid_agent(task: Task, robot: RobotConfig) -> SourceAgent:
    """Return the joint-space PID, sent straight to the pose at the cube."""
    source, goal = JointPid(PidConfig(), robot), GoalFinder(task, robot)
    return SourceAgent(source, robot, lambda episode: source.set_goal(goal(episode).touch))


def hold_agent(task: Task, robot: RobotConfig) -> SourceAgent:  # noqa: ARG001
    """Return what stays where it is: the floor of every comparison."""
    return SourceAgent(Hold(), robot, lambda episode: None)


class GoalFinder:
    """Finds the joint poses for an instruction by inverse kinematics on the true place of the cube."""

    def __init__(self, task: Task, robot: RobotConfig) -> None:
        """Compile the arm's model."""
        self._task = task
        self._home = robot.home
        self._ik = ArmIk(arm_spec().compile(), robot, robot.arms[0].prefix)

    def __call__(self, episode: Episode) -> ReachGoal:
        """Return the goal of `episode`. Raises InputError when out of reach or not in the scene."""
        cube = episode.scene.cubes[self._task.target(episode.scene, episode.instruction)]
        return reach_goal(self._ik, cube, self._home)
