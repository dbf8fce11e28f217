"""The planner hands things over: what it does, and what it does when things go otherwise."""

import mujoco
import pytest

from so_arm_policy.control.motion.config import PlannerConfig
from so_arm_policy.control.planner.actions import Means
from so_arm_policy.control.planner.desk import LockstepDesk
from so_arm_policy.control.planner.source import Planner
from so_arm_policy.core.timegrid import NS
from so_arm_policy.evaluate.crafted_agents import planner_agent
from so_arm_policy.evaluate.rollout import Rollout
from so_arm_policy.evaluate.seeing_agent import SeeingAgent, TruthEyes
from so_arm_policy.robot.description import load_robot
from so_arm_policy.sim.expert import arm_iks
from so_arm_policy.sim.planning_scene import PlanningScene
from so_arm_policy.sim.tasks.handover import Handover

TAKE = ["approach", "descend", "grasp"]
PASS = ["lift", "hold out", "come", "receive", "let go", "withdraw"]
PUT = ["carry", "lower", "release", "leave", "return"]
SEED = 3001


@pytest.fixture(scope="module")
def two_arms():
    return load_robot("so101_bimanual")


@pytest.fixture(scope="module")
def planner(two_arms):
    means = Means(robot=two_arms, iks=arm_iks(two_arms), surroundings=PlanningScene(two_arms))
    return Planner(means, PlannerConfig(), LockstepDesk(NS // 10))


@pytest.fixture(scope="module")
def patient():
    """The task with time for more than one try."""
    return Handover(time_limit_s=30.0)


class Dropping:
    """The planner as an agent that writes its stages down; at stage `at` the thing is suddenly at `place` (2,) m."""

    name = "planner"

    def __init__(self, planner, robot, at="", place=(0.0, 0.0)):
        self._planner, self._agent = planner, SeeingAgent(planner, robot, TruthEyes())
        self._at, self._place = at, place

    def reset(self, episode):
        self.stages, self._dropped = [], False
        self._number = episode.goal.steps[0].object
        self._agent.reset(episode)

    def propose(self, moment):
        proposal = self._agent.propose(moment)
        if not self.stages or self.stages[-1] != self._planner.stage:
            self.stages.append(self._planner.stage)
        if self._planner.stage == self._at and not self._dropped:
            self._dropped = True
            simulator = moment.simulator
            joint = simulator.model.joint(f"object{self._number}")
            simulator.data.qpos[joint.qposadr[0] :][:3] = (*self._place, 0.03)
            simulator.data.qvel[joint.dofadr[0] :][:6] = 0.0
            mujoco.mj_forward(simulator.model, simulator.data)
        return proposal

    def report(self):
        return self._agent.report()


def test_one_arm_takes_the_other_one_puts_and_the_supervisor_changes_no_command(planner, two_arms, patient):
    agent = Dropping(planner, two_arms)
    result = Rollout(patient, two_arms, agent).run(patient.sample(SEED))
    assert result.success
    assert set(result.actions) == {"PASS"}
    assert agent.stages == ["idle", "look", *TAKE, *PASS, *PUT]


@pytest.mark.parametrize("stage", ["grasp", "receive"])
def test_what_is_missed_or_lost_before_the_other_arm_has_it_is_passed_anew(planner, two_arms, patient, stage):
    agent = Dropping(planner, two_arms, at=stage, place=(0.22, 0.2))
    result = Rollout(patient, two_arms, agent).run(patient.sample(SEED))
    assert result.success
    assert set(result.actions) == {"PASS"}
    assert "back" in agent.stages
    assert agent.stages[-14:] == [*TAKE, *PASS, *PUT]


def test_what_the_other_arm_loses_it_takes_itself(planner, two_arms, patient):
    agent = Dropping(planner, two_arms, at="carry", place=(0.23, -0.12))
    result = Rollout(patient, two_arms, agent).run(patient.sample(SEED))
    assert result.success
    assert agent.stages.count("let go") == 1
    assert agent.stages[-9:] == [*TAKE, "lift", *PUT]


def test_by_camera_in_other_words_it_does_the_same(two_arms):
    task = Handover()
    result = Rollout(task, two_arms, planner_agent(task, two_arms)).run(task.sample(SEED, "phrases"))
    assert result.success
    assert set(result.actions) == {"PASS"}
