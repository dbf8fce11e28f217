"""The planner held by the supervisor in the midst of its work, because people ask: it goes on, and drops nothing."""

import mujoco
import numpy as np
import pytest

from so_arm_policy.core.timegrid import CONTROL_HZ, NS
from so_arm_policy.core.values import JointSample
from so_arm_policy.evaluate.agent import Asked
from so_arm_policy.evaluate.crafted_agents import privileged_planner_agent
from so_arm_policy.evaluate.rollout import Rollout
from so_arm_policy.safety.config import SupervisorConfig
from so_arm_policy.sim.simulator import Simulator
from so_arm_policy.sim.tasks import make_task
from so_arm_policy.sim.tasks.pick_place import PickPlace
from so_arm_policy.sim.truth import tabletop_of

SAFETY = SupervisorConfig(sources=("planner", "hold"))
PAUSE = Asked(select="hold"), Asked(select="planner")
STOP = Asked(estop="stop it"), Asked(reset=True)
SECOND = CONTROL_HZ


class Held:
    """A person who holds the arm once, `after` ticks into a stage, and lets it go on; and a diary of the episode."""

    def __init__(self, task, robot, at="", asked=PAUSE, after=0, ticks=SECOND, then=None):
        self.agent = privileged_planner_agent(task, robot)
        self.planner = self.agent._source
        self._at, self._asked, self._after, self._ticks, self._then = at, asked, after, ticks, then
        self._rollout = Rollout(task, robot, self.agent, SAFETY, operator=self._operator)

    def run(self, episode):
        self._in_stage, self._began = 0, None
        self.stages, self.heights, self.modes, self.stand = [], [], [], []
        self._number = episode.goal.steps[0].object
        return self._rollout.run(episode, [self])

    def _operator(self, tick):
        self._in_stage += self.planner.stage == self._at
        if self._began is None:
            if self._in_stage > self._after:
                self._began = tick
                return self._asked[0]
        elif tick == self._began + self._ticks:
            return self._asked[1]
        return Asked()

    @property
    def held(self):
        """Ticks in which the arm was held."""
        return slice(self._began, self._began + self._ticks)

    def on_start(self, episode): ...
    def on_end(self, result): ...

    def on_step(self, step):
        stage = self.planner.stage
        if not self.stages or self.stages[-1] != stage:
            self.stages.append(stage)
        self.heights.append(step.objects[self._number, 2])
        self.modes.append(step.verdict.mode.name)
        self.stand.append(step.verdict.command)


@pytest.fixture(scope="module")
def patient():
    return PickPlace(time_limit_s=20.0)


@pytest.mark.parametrize("asked", [PAUSE, STOP], ids=["pause", "stop"])
@pytest.mark.parametrize(("at", "after"), [("lift", 15), ("carry", 30), ("lower", 10)])
def test_what_it_holds_it_keeps_and_brings_where_it_should(robot, patient, asked, at, after):
    held = Held(patient, robot, at, asked, after)
    result = held.run(patient.sample(0))
    assert result.success
    assert set(held.modes[held.held][1:]) == {"HOLD" if asked is PAUSE else "ESTOP"}
    again = held.stages.index("held")
    assert held.stages[again - 1 : again + 2] == [at, "held", at], held.stages
    assert held.stages.count("approach") == held.stages.count("release") == 1


def test_held_between_two_thoughts_it_keeps_what_it_holds(robot, patient):
    """The hand has just closed, and what comes next is being thought of."""
    held = Held(patient, robot, "grasp", after=60, ticks=SECOND // 4)
    result = held.run(patient.sample(0))
    assert result.success
    assert held.stages.count("approach") == held.stages.count("release") == 1
    assert "held" in held.stages


@pytest.mark.parametrize("asked", [PAUSE, STOP], ids=["pause", "stop"])
def test_while_it_is_held_the_command_stands_and_the_thing_stays_up(robot, patient, asked):
    held = Held(patient, robot, "carry", asked, after=30)
    assert held.run(patient.sample(1)).success
    standing = np.array(held.stand[held.held][SECOND // 2 :])
    assert np.ptp(standing, axis=0).max() < 1e-9
    heights = held.heights[held.held][SECOND // 2 :]
    assert min(heights) > 0.05
    assert np.ptp(heights) < 1e-3


def test_what_is_taken_away_meanwhile_is_fetched_again(robot, patient):
    episode = patient.sample(0)

    class Thief(Held):
        def on_step(self, step):
            super().on_step(step)
            if self._began is not None and len(self.modes) == self._began + SECOND // 2:
                simulator = self._rollout._simulator
                joint = simulator.model.joint(f"object{self._number}")
                at, v = joint.qposadr[0], joint.dofadr[0]
                simulator.data.qpos[at : at + 3] = (0.25, 0.02, 0.03)
                simulator.data.qvel[v : v + 6] = 0.0
                mujoco.mj_forward(simulator.model, simulator.data)

    held = Thief(patient, robot, "carry", after=30)
    assert held.run(episode).success
    assert held.stages.count("approach") == 2
    assert held.stages.count("release") == 1


@pytest.mark.parametrize(
    ("ticks", "then"), [(SECOND // 2, ["approach", "descend"]), (2 * SECOND, ["idle", "look", "approach"])]
)
def test_held_before_it_has_anything_it_goes_on_and_after_long_it_looks_again(robot, patient, ticks, then):
    held = Held(patient, robot, "approach", after=40, ticks=ticks)
    assert held.run(patient.sample(2)).success
    assert held.stages[:4] == ["idle", "look", "approach", "held"]
    assert held.stages[4 : 4 + len(then)] == then


def test_who_stays_with_a_thing_stays_there(robot):
    task = make_task("track")
    held = Held(task, robot, "stay", after=60, ticks=SECOND // 2)
    result = held.run(task.sample(1))
    assert result.success
    assert held.stages == ["idle", "look", "approach", "descend", "stay", "held", "stay"]


def test_an_arm_that_is_moved_by_hand_meanwhile_begins_anew(robot):
    """What is in the hand is let go of then: nothing is known any more of where that is."""
    agent = privileged_planner_agent(make_task("pick_place"), robot)
    planner, simulator = agent._source, Simulator(robot, make_task("pick_place").sample(0).scene)
    planner.reset()
    planner.tell(make_task("pick_place").sample(0).instruction)

    def sample(q, now_ns):
        return JointSample(stamp_ns=now_ns, received_ns=now_ns, q=q, dq=np.zeros(len(q)))

    now_ns, q = NS, robot.home
    while planner.stage != "carry":
        now_ns += NS // CONTROL_HZ
        planner.see(tabletop_of(simulator), now_ns)
        gripping = q + 0.1 * (np.arange(len(q)) == len(q) - 1)
        q, _ = planner.command(now_ns, sample(gripping, now_ns))
    pushed = gripping + 0.4 * (np.arange(len(q)) == 0)
    for _ in range(10):
        now_ns += NS // CONTROL_HZ
        stays, speed = planner.standby(now_ns, sample(pushed, now_ns))
        np.testing.assert_allclose(stays[:-1], pushed[:-1])
        assert stays[-1] == pytest.approx(q[-1]), "it does not let go meanwhile"
        assert not speed.any()
    assert planner.stage == "held"
    planner.command(now_ns, sample(pushed, now_ns))
    assert planner.stage == "idle"
