"""A policy with the planner behind it."""

from dataclasses import replace

import pytest

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.paths import find_shipped
from so_arm_policy.evaluate.crafted_agents import privileged_planner_agent
from so_arm_policy.evaluate.hybrid_agent import HybridAgent
from so_arm_policy.evaluate.policy_agent import PolicyAgent
from so_arm_policy.evaluate.rollout import Rollout
from so_arm_policy.policy.bundle import load_bundle
from so_arm_policy.sim.tasks.pick_place import PickPlace


@pytest.fixture(scope="module")
def bundle(robot):
    return load_bundle(find_shipped("bundles", "so101_flow"), robot)


@pytest.fixture(scope="module")
def task():
    return PickPlace(time_limit_s=15.0)


class Sources:
    """Subscriber: whose proposal was decided on, tick by tick."""

    def on_start(self, episode):
        self.of = []

    def on_step(self, step):
        self.of.append(step.verdict.source)

    def on_end(self, result): ...


def test_without_a_doubt_it_is_the_policy_to_the_bit(bundle, robot, task):
    hybrid = HybridAgent(bundle, robot, privileged_planner_agent(task, robot))
    sources = Sources()
    result = Rollout(task, robot, hybrid).run(task.sample(7100), [sources])
    assert set(sources.of) == {"system1"}
    assert result.digest == Rollout(task, robot, PolicyAgent(bundle, robot)).run(task.sample(7100)).digest


def test_a_doubt_hands_over_once_and_the_planner_does_it(bundle, robot, task):
    shy = replace(bundle.monitors(), novelty_threshold=1e-3)
    hybrid = HybridAgent(bundle, robot, privileged_planner_agent(task, robot), shy)
    sources = Sources()
    result = Rollout(task, robot, hybrid).run(task.sample(7100), [sources])
    first = sources.of.index("planner")
    assert first > 0
    assert set(sources.of[first:]) == {"planner"}
    assert result.rules["policy.novelty"] == 1
    assert result.actions["FALLBACK"] == 1
    assert result.success


def test_a_bundle_without_monitors_is_refused(robot, task):
    plain = load_bundle(find_shipped("bundles", "so101_act"), robot)
    with pytest.raises(ConfigError, match="without monitors, expected one with; `so-arm calibrate` it"):
        HybridAgent(plain, robot, privileged_planner_agent(task, robot))
