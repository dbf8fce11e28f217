"""The scripted expert at work: follows a task's plan in the simulator, and makes a new one when things went otherwise.

It is privileged: it takes the state of the simulator, not pictures.
"""

import numpy as np

from so_arm_policy.control.ik import ArmIk
from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.sim.arm_model import arm_spec
from so_arm_policy.sim.goal import Goal
from so_arm_policy.sim.law import Plan, Stages, advance
from so_arm_policy.sim.simulator import Simulator
from so_arm_policy.sim.tasks.task import Task


def arm_iks(robot: RobotConfig) -> tuple[ArmIk, ...]:
    """Return the inverse kinematics of each arm of `robot`."""
    model = arm_spec().compile()
    return tuple(ArmIk(model, robot, arm.prefix) for arm in robot.arms)


class Expert:
    """Does one task. `plan` and `stage` are what is followed, `q` and `dq` the reference, for whoever records it."""

    def __init__(self, robot: RobotConfig, task: Task) -> None:
        """Compile the arm's model."""
        self._task = task
        self._iks = arm_iks(robot)
        self.goal: Goal | None = None
        self.plan: Plan | None = None
        self.q: FloatArray = robot.home
        self.dq: FloatArray = np.zeros(len(robot.joints))
        self.stage: Stages = np.array(0)

    def reset(self, simulator: Simulator, goal: Goal) -> None:
        """Begin to do `goal` from the measured pose, at rest. Raises InputError when it is out of reach."""
        self.q, self.dq = simulator.q.copy(), np.zeros_like(simulator.q)
        self.aim(simulator, goal)

    def aim(self, simulator: Simulator, goal: Goal) -> None:
        """Plan anew, in the midst of the motion. Raises InputError."""
        self.goal = goal
        self.plan = self._task.plan(self._iks, simulator, goal)
        self.stage = np.array(0)

    def command(self, simulator: Simulator) -> tuple[FloatArray, FloatArray]:
        """Return the next reference, (n,) rad, and its velocity, (n,) rad/s: one tick further."""
        assert self.plan is not None
        self.q, self.dq, self.stage = advance(self.q, self.dq, self.stage, self.plan)
        return self.q, self.dq
