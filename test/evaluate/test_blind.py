"""Sources whose camera dies for a while: they come to rest, say so, and go on by themselves when it is back."""

import numpy as np
import pytest

from so_arm_policy.control.motion.config import PlannerConfig
from so_arm_policy.control.planner.actions import Means
from so_arm_policy.control.planner.desk import LockstepDesk
from so_arm_policy.control.planner.source import Planner
from so_arm_policy.control.source import BLIND_NS
from so_arm_policy.core.timegrid import CONTROL_HZ, NS
from so_arm_policy.core.values import CameraImage
from so_arm_policy.evaluate.agent import Moment
from so_arm_policy.evaluate.crafted_agents import (
    privileged_pid_agent,
    privileged_planner_agent,
    privileged_servo_agent,
)
from so_arm_policy.evaluate.eyes import CameraEyes
from so_arm_policy.evaluate.rollout import EPOCH_NS, Rollout
from so_arm_policy.evaluate.seeing_agent import SeeingAgent, TruthEyes
from so_arm_policy.sim.expert import arm_iks
from so_arm_policy.sim.planning_scene import PlanningScene
from so_arm_policy.sim.scene import random_scene
from so_arm_policy.sim.simulator import Simulator
from so_arm_policy.sim.tasks.pick_place import PickPlace
from so_arm_policy.sim.tasks.track import Track

BLIND_TICKS = BLIND_NS * CONTROL_HZ // NS
SECOND = CONTROL_HZ


class Dark:
    """Eyes that see nothing from one tick on, for so long."""

    def __init__(self, first, ticks):
        self._dark = range(first, first + ticks)

    def look(self, moment, wanted):
        return None if moment.tick in self._dark else TruthEyes().look(moment, wanted)


class Diary:
    """What the source said of itself, and its commands, tick by tick."""

    def __init__(self, source):
        self._source = source

    def on_start(self, episode):
        self.stages, self.troubles, self.commands, self.rules = [], [], [], set()

    def on_step(self, step):
        self.stages.append(getattr(self._source, "stage", ""))
        self.troubles.append(self._source.trouble or "")
        self.commands.append(step.verdict.command)
        self.rules.add(step.verdict.code)

    def on_end(self, result): ...

    def speed(self, first, last):
        """Of the fastest joint, rad/s."""
        return np.abs(np.diff(self.commands[first:last], axis=0)).max() * CONTROL_HZ


def run(agent, task, robot, seed, first, ticks):
    agent._eyes = Dark(first, ticks)
    diary = Diary(agent._source)
    return Rollout(task, robot, agent).run(task.sample(seed), [diary]), diary


def test_a_planner_that_looks_says_so_and_goes_on_when_pictures_come(robot):
    task = PickPlace(time_limit_s=20.0)
    result, diary = run(privileged_planner_agent(task, robot), task, robot, 0, 0, 5 * SECOND)
    assert result.success
    assert set(result.actions) == {"PASS"}
    blind = [k for k, trouble in enumerate(diary.troubles) if trouble]
    assert len(blind) == blind[-1] - blind[0] + 1
    assert abs(blind[0] - BLIND_TICKS) < 30
    assert 0 <= blind[-1] - 5 * SECOND < 15
    assert diary.speed(0, 5 * SECOND) == 0.0
    said = list(dict.fromkeys(diary.troubles[k] for k in blind))
    assert said == [f"look: got no newer picture for {n} s, expected one within 1 s" for n in (1, 2, 3, 4)]


def test_a_planner_that_carries_does_not_need_to_see_but_afterwards_looks_in_vain(robot):
    task = PickPlace(time_limit_s=30.0)
    agent = privileged_planner_agent(task, robot)
    result, diary = run(agent, task, robot, 0, 3 * SECOND, 10 * SECOND)
    assert result.success
    assert "release" in diary.stages[3 * SECOND : 13 * SECOND]


def test_a_planner_on_its_way_to_a_thing_breaks_off(robot):
    """A slow one: another is there before it counts as blind."""
    task = PickPlace(time_limit_s=40.0)
    means = Means(robot=robot, iks=arm_iks(robot), surroundings=PlanningScene(robot))
    slow = Planner(means, PlannerConfig(velocity_scale=0.1), LockstepDesk(NS // 10))
    result, diary = run(SeeingAgent(slow, robot, TruthEyes()), task, robot, 0, 60, 4 * SECOND)
    assert result.success
    assert diary.stages[60 + BLIND_TICKS - 1] == "approach"
    rest = 60 + BLIND_TICKS + SECOND // 2
    assert diary.stages[rest] == "look"
    assert diary.speed(rest, 60 + 4 * SECOND) == 0.0
    assert diary.troubles[60 + 4 * SECOND - 1].startswith("look: got no newer picture")


def test_a_planner_that_follows_comes_to_rest(robot):
    task = Track()
    result, diary = run(privileged_planner_agent(task, robot), task, robot, 1, 4 * SECOND, 4 * SECOND)
    assert diary.stages[4 * SECOND] == diary.stages[8 * SECOND] == "stay"
    rest = 4 * SECOND + BLIND_TICKS + SECOND // 2
    assert diary.speed(rest, 8 * SECOND) == 0.0
    assert diary.speed(8 * SECOND, 9 * SECOND) > 0.01
    assert diary.troubles[rest].startswith("stay: got no newer picture for 1 s")
    assert diary.troubles[8 * SECOND + 30] == ""
    assert set(result.actions) == {"PASS"}


@pytest.mark.parametrize("make", [privileged_pid_agent, privileged_servo_agent])
def test_the_servo_comes_to_rest_and_goes_on(robot, make):
    task, first, ticks = Track(), 3 * SECOND, 4 * SECOND
    result, diary = run(make(task, robot), task, robot, 1, first, ticks)
    rest, back = first + BLIND_TICKS + SECOND // 2, first + ticks + 12
    assert diary.speed(first + SECOND // 2, first + BLIND_TICKS) > 0.1
    assert diary.speed(rest, first + ticks) < 0.01
    assert set(diary.troubles[rest : first + ticks]) == {"sight: got no newer picture, expected one within 1 s"}
    assert set(diary.troubles[back:]) == {""}
    assert diary.speed(back, result.ticks) > 0.2
    assert "time.observation" in diary.rules, "the supervisor's own limit is 3 s"


def test_nobody_believes_a_picture_of_another_time(robot):
    simulator, eyes = Simulator(robot, random_scene(0)), CameraEyes(robot)
    rgb = np.full((120, 160, 3), 128, np.uint8)

    def seen(ahead_ns):
        picture = CameraImage(camera="overhead", stamp_ns=EPOCH_NS + ahead_ns, rgb=rgb)
        moment = Moment(
            tick=0,
            now_ns=EPOCH_NS,
            sample=None,
            following=False,
            look=lambda cameras: dict.fromkeys(cameras, picture),
            simulator=simulator,
        )
        return eyes.look(moment, None)

    assert seen(-1) is None
    assert seen(NS) is None
