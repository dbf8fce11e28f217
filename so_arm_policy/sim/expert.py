"""The scripted expert at work: follows a task's plan in the simulator, and makes a new one when things went otherwise.

It is privileged: it takes the state of the simulator, not pictures.
"""

import contextlib

import numpy as np

from so_arm_policy.control.ik import ArmIk
from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import InputError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.sim.arm_model import arm_spec
from so_arm_policy.sim.goal import Goal
from so_arm_policy.sim.law import Plan, Stages, advance
from so_arm_policy.sim.simulator import Simulator
from so_arm_policy.sim.tasks.task import Task

CHECK_TICKS = 4


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
        self._seen: FloatArray = np.zeros((0, 3))
        self._ticks = 0

    def reset(self, simulator: Simulator, goal: Goal) -> None:
        """Begin to do `goal` from the measured pose, at rest. Raises InputError when it is out of reach."""
        self.q, self.dq = simulator.q.copy(), np.zeros_like(simulator.q)
        self._ticks = 0
        self.aim(simulator, goal)

    def aim(self, simulator: Simulator, goal: Goal) -> None:
        """Plan anew, in the midst of the motion. Raises InputError."""
        self.goal = goal
        self.plan = self._task.plan(self._iks, simulator, goal)
        self.stage = np.array(0)
        self._seen = _places(simulator)

    def command(self, simulator: Simulator) -> tuple[FloatArray, FloatArray]:
        """Return the next reference, (n,) rad, and its velocity, (n,) rad/s: one tick further."""
        assert self.plan is not None
        assert self.goal is not None
        self._ticks += 1
        if self._ticks % CHECK_TICKS == 0 and self._astray(simulator, self.goal, self.plan):
            with contextlib.suppress(InputError):  # the old plan is as good as none: what it aims at is out of reach
                self.aim(simulator, self.goal)
        self.q, self.dq, self.stage = advance(self.q, self.dq, self.stage, self.plan)
        return self.q, self.dq

    def _astray(self, simulator: Simulator, goal: Goal, plan: Plan) -> bool:
        return self._task.astray(simulator, goal, plan, int(self.stage), self.q, self._seen)


def _places(simulator: Simulator) -> FloatArray:
    return np.array([simulator.object_position(i) for i in range(len(simulator.scene.objects))])
