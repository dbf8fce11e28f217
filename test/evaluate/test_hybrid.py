"""A policy with the planner behind it."""

from dataclasses import replace

import pytest

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.paths import find_shipped
from so_arm_policy.evaluate.crafted_agents import planner_agent, privileged_planner_agent
from so_arm_policy.evaluate.hybrid_agent import HybridAgent
from so_arm_policy.evaluate.perturbations import PERTURBATIONS, Perturbation, perturbed
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
    assert hybrid.fallback.report().contexts == 0  # who stands behind it looks when it acts
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


def test_pictures_that_freeze_are_noticed_and_the_planner_does_not_believe_them_either(bundle, robot, task):
    hybrid = HybridAgent(bundle, robot, planner_agent(task, robot))
    sources, onset = Sources(), 60
    frozen = perturbed(hybrid, PERTURBATIONS["frozen"], robot, onset)
    result = Rollout(PickPlace(time_limit_s=6.0), robot, frozen).run(task.sample(7100), [sources])
    assert result.agent.silences["pictures frozen"] > 5
    assert result.doubts["policy.context_age"] > 0
    assert not result.success


def test_late_pictures_are_late_for_the_policy_of_a_hybrid_too(bundle, robot):
    short, late = PickPlace(time_limit_s=1.5), Perturbation(text="late", latency_ticks=40)
    makers = (
        lambda: PolicyAgent(bundle, robot),
        lambda: HybridAgent(bundle, robot, privileged_planner_agent(short, robot)),
    )
    agents = [perturbed(make(), late, robot, 0) for make in makers] + [makers[0]()]
    alone, hybrid, in_time = (Rollout(short, robot, agent).run(short.sample(7100)).digest for agent in agents)
    assert hybrid == alone != in_time


def test_a_table_in_the_dark_is_handed_over_and_the_planner_does_it(bundle, robot, task):
    hybrid = HybridAgent(bundle, robot, privileged_planner_agent(task, robot))
    sources, onset = Sources(), 60
    dark = perturbed(hybrid, PERTURBATIONS["dark"], robot, onset)
    result = Rollout(task, robot, dark).run(task.sample(7100), [sources])
    first = sources.of.index("planner")
    assert onset < first < onset + 120
    assert set(sources.of[first:]) == {"planner"}
    assert result.rules["policy.novelty"] == 1
    assert result.success


def test_a_bundle_without_monitors_is_refused(robot, task):
    plain = load_bundle(find_shipped("bundles", "so101_act"), robot)
    with pytest.raises(ConfigError, match="without monitors, expected one with; `so-arm calibrate` it"):
        HybridAgent(plain, robot, privileged_planner_agent(task, robot))
