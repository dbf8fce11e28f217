"""The planner at work in the simulator: what it does, what it does when things go otherwise, what it refuses."""

from dataclasses import replace

import mujoco
import numpy as np
import pytest

from so_arm_policy.control.motion.config import PlannerConfig
from so_arm_policy.control.planner.actions import Means
from so_arm_policy.control.planner.desk import LockstepDesk
from so_arm_policy.control.planner.source import Planner
from so_arm_policy.core.errors import InputError
from so_arm_policy.core.timegrid import NS
from so_arm_policy.core.values import JointSample
from so_arm_policy.evaluate.crafted_agents import planner_agent
from so_arm_policy.evaluate.rollout import Rollout
from so_arm_policy.evaluate.seeing_agent import SeeingAgent, TruthEyes
from so_arm_policy.sim.expert import arm_iks
from so_arm_policy.sim.planning_scene import PlanningScene
from so_arm_policy.sim.tasks import make_task
from so_arm_policy.sim.tasks.pick_place import PickPlace
from so_arm_policy.sim.truth import tabletop_of

DELAY_NS = NS // 10


@pytest.fixture(scope="module")
def planner(robot):
    means = Means(robot=robot, iks=arm_iks(robot), surroundings=PlanningScene(robot))
    return Planner(means, PlannerConfig(), LockstepDesk(DELAY_NS))


class Watched:
    """The planner as an agent that writes its stages down; `at` a stage, for the first time, `then` happens."""

    name = "planner"

    def __init__(self, planner, robot, at="", then=None, after=0):
        self._planner, self._agent = planner, SeeingAgent(planner, robot, TruthEyes())
        self._at, self._then, self._after = at, then, after

    def reset(self, episode):
        self.stages, self._left = [], self._after
        self._done = False
        self._agent.reset(episode)

    def propose(self, moment):
        proposal = self._agent.propose(moment)
        if not self.stages or self.stages[-1] != self._planner.stage:
            self.stages.append(self._planner.stage)
        if self._then is not None and not self._done and self._planner.stage == self._at:
            self._left -= 1
            if self._left < 0:
                self._done = True
                self._then(moment.simulator)
        return proposal

    def report(self):
        return self._agent.report()


def move(number, x, y):
    """Return what puts an object elsewhere on the table."""

    def then(simulator):
        at = simulator.model.joint(f"object{number}").qposadr[0]
        v = simulator.model.joint(f"object{number}").dofadr[0]
        simulator.data.qpos[at : at + 3] = (x, y, 0.03)
        simulator.data.qvel[v : v + 6] = 0.0
        mujoco.mj_forward(simulator.model, simulator.data)

    return then


@pytest.fixture(scope="module")
def patient():
    """The task with time for more than one try."""
    return PickPlace(time_limit_s=20.0)


PUT = ["approach", "descend", "grasp", "lift", "carry", "lower", "release"]


def test_it_takes_carries_and_puts_and_the_supervisor_changes_no_command(planner, robot):
    task = make_task("pick_place")
    agent = Watched(planner, robot)
    rollout = Rollout(task, robot, agent)
    for seed in range(3):
        result = rollout.run(task.sample(seed))
        assert result.success
        assert set(result.actions) == {"PASS"}
        assert agent.stages[:9] == ["idle", "look", *PUT]
    assert rollout.run(task.sample(2)).digest == result.digest


def test_by_camera_it_does_the_same(robot):
    task = make_task("sort")
    result = Rollout(task, robot, planner_agent(task, robot)).run(task.sample(3, "phrases"))
    assert result.success
    assert set(result.actions) == {"PASS"}


@pytest.mark.parametrize("name", ["reach", "track"])
def test_it_goes_to_a_thing_and_stays_with_it(planner, robot, name):
    task = make_task(name)
    result = Rollout(task, robot, Watched(planner, robot)).run(task.sample(1))
    assert result.success
    assert set(result.actions) == {"PASS"}


def test_a_thing_that_goes_elsewhere_on_the_way_to_it_is_gone_to_there(planner, robot, patient):
    episode = patient.sample(0)
    number = episode.goal.steps[0].object
    agent = Watched(planner, robot, at="approach", then=move(number, 0.25, 0.02), after=20)
    result = Rollout(patient, robot, agent).run(episode)
    assert result.success
    assert agent.stages[:5] == ["idle", "look", "approach", "look", "approach"]


def test_a_thing_that_is_lost_on_the_way_is_taken_again(planner, robot, patient):
    episode = patient.sample(0)
    number = episode.goal.steps[0].object
    agent = Watched(planner, robot, at="carry", then=move(number, 0.25, 0.02), after=20)
    result = Rollout(patient, robot, agent).run(episode)
    assert result.success
    assert agent.stages.count("approach") == 2
    assert agent.stages.count("release") == 1


def test_a_thing_that_is_not_between_the_jaws_is_taken_again(planner, robot, patient):
    episode = patient.sample(1)
    number = episode.goal.steps[0].object
    agent = Watched(planner, robot, at="grasp", then=move(number, 0.25, 0.02))
    result = Rollout(patient, robot, agent).run(episode)
    assert result.success
    assert "missed" in agent.stages
    assert agent.stages.count("lift") == 1


def test_what_is_not_there_is_looked_for_from_aside_and_then_said_to_be_missing(planner, robot):
    task = make_task("pick_place")
    episode = task.sample(0)
    words = {thing.words for thing in episode.scene.objects}
    missing = next(f"{color} cube" for color in ("red", "green", "blue", "black") if f"{color} cube" not in words)
    agent = Watched(planner, robot)
    short = PickPlace(time_limit_s=6.0)
    result = Rollout(short, robot, agent).run(replace(episode, instruction=f"put the {missing} in the bowl"))
    assert not result.success
    assert set(result.actions) == {"PASS"}
    assert agent.stages[:7] == ["idle", "look", "aside", "look", "aside", "look", "trouble"]
    assert f"got no {missing}" in planner.trouble


@pytest.mark.parametrize(
    ("text", "expected"), [("hand over the red cube and put it in the bowl", "'hand over'"), ("dance", "unknown words")]
)
def test_what_it_cannot_do_is_refused_and_changes_nothing(planner, text, expected):
    planner.reset()
    planner.tell("touch the red cube")
    with pytest.raises(InputError, match=expected):
        planner.tell(text)
    assert planner.wanted == frozenset()


def sample(q, now_ns):
    return JointSample(stamp_ns=now_ns, received_ns=now_ns, q=np.array(q), dq=np.zeros(len(q)))


def test_a_thought_of_before_a_reset_moves_nothing(planner, robot):
    planner.reset()
    planner.tell("touch the red cube")
    planner.command(NS, sample(robot.home, NS))
    planner.reset()
    for tick in range(60):
        q, dq = planner.command(2 * NS + tick * NS // 120, sample(robot.rest, 2 * NS))
        assert np.array_equal(q, robot.rest)
        assert not dq.any()
    assert planner.stage == "idle"


def test_a_start_outside_the_limits_is_held_at_the_limits(planner, robot):
    planner.reset()
    q, _ = planner.command(NS, sample(robot.upper + 0.01, NS))
    assert np.array_equal(q, robot.upper)


def test_what_is_hidden_or_seen_elsewhere_once_interrupts_nothing(planner, robot):
    """A single odd look, such as at half a thing behind the arm, must not break off an approach."""
    task = make_task("pick_place")
    episode = task.sample(0)

    class OddOnce(TruthEyes):
        looks = 0

        def look(self, moment, wanted):
            table = tabletop_of(moment.simulator)
            self.looks += 1
            if self.looks != 8:
                return table
            things = [replace(thing, position=thing.position + (0.05, 0.0, 0.0)) for thing in table.things]
            return replace(table, things=tuple(things))

    agent = Watched(planner, robot)
    agent._agent = SeeingAgent(planner, robot, OddOnce())
    assert Rollout(task, robot, agent).run(episode).success
    assert agent.stages.count("approach") == 1
