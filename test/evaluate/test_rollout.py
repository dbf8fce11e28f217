"""Lockstep episodes: deterministic to the bit, delays as named, everything seen by subscribers."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.core.values import Proposal
from so_arm_policy.evaluate.agent import AgentReport, Moment
from so_arm_policy.evaluate.crafted_agents import privileged_pid_agent
from so_arm_policy.evaluate.policy_agent import PolicyAgent, PolicyTiming
from so_arm_policy.evaluate.rollout import EPOCH_NS, EpisodeResult, Rollout, Step
from so_arm_policy.evaluate.scripted_agents import expert_agent, hold_agent
from so_arm_policy.policy.bundle import Bundle
from so_arm_policy.safety.config import SupervisorConfig
from so_arm_policy.safety.values import Action
from so_arm_policy.sim.tasks.reach import REACHED_M, Reach
from so_arm_policy.sim.tasks.task import Episode, Task


@dataclass
class Witness:
    """Subscriber that keeps everything."""

    episodes: list[Episode] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    results: list[EpisodeResult] = field(default_factory=list)

    def on_start(self, episode: Episode) -> None:
        self.episodes.append(episode)

    def on_step(self, step: Step) -> None:
        self.steps.append(step)

    def on_end(self, result: EpisodeResult) -> None:
        self.results.append(result)


@pytest.fixture(scope="module")
def short() -> Task:
    """The task, given up after one second."""
    return Reach(time_limit_s=1.0)


@pytest.fixture(scope="module")
def policy(bundle: Bundle, robot: RobotConfig, short: Task) -> Iterator[Rollout]:
    rollout = Rollout(short, robot, PolicyAgent(bundle, robot))
    yield rollout
    rollout.close()


@pytest.fixture(scope="module")
def expert(robot: RobotConfig, task: Task) -> Iterator[Rollout]:
    rollout = Rollout(task, robot, expert_agent(task, robot))
    yield rollout
    rollout.close()


def test_an_episode_repeats_to_the_bit_also_in_another_simulator(policy, short, bundle, robot) -> None:
    first = policy.run(short.sample(3))
    other = policy.run(short.sample(4))
    again = policy.run(short.sample(3))
    fresh = Rollout(short, robot, PolicyAgent(bundle, robot)).run(short.sample(3))
    assert first == again == fresh
    assert first.digest != other.digest
    assert first.agent.inferences > 0


def test_the_instruction_and_the_picture_reach_the_motion(policy, short) -> None:
    """The tiny policy moves by what it sees, so another light must give another motion."""
    episode = short.sample(3)
    darker = replace(episode, scene=replace(episode.scene, brightness=0.2))
    assert policy.run(episode).digest != policy.run(darker).digest
    with pytest.raises(InputError, match="unknown words"):
        policy.run(replace(episode, instruction="touch the purple cube"))


def test_the_expert_succeeds_and_what_stays_fails(expert, task, robot) -> None:
    for seed in range(5):
        result = expert.run(task.sample(seed))
        assert result.success
        assert result.time_s == result.ticks / CONTROL_HZ
        assert result.final_distance_m <= REACHED_M
        assert result.actions == {"PASS": result.ticks}
    stays = Rollout(Reach(time_limit_s=0.5), robot, hold_agent(task, robot)).run(task.sample(0))
    assert not stays.success
    assert stays.time_s is None
    assert stays.ticks == 60


def test_the_pid_is_one_more_agent(task, robot) -> None:
    result = Rollout(task, robot, privileged_pid_agent(task, robot)).run(task.sample(0))
    assert result.success
    assert result.agent.inferences == 0


def test_success_is_judged_by_the_target_not_by_what_was_told(expert, task) -> None:
    episode = task.sample(0)
    instruction = task.instructions(episode.scene)[(episode.goal.steps[0].object + 1) % 3]
    told = replace(episode, instruction=instruction)
    misled = expert.run(told)
    assert not misled.success
    assert misled.instruction == told.instruction
    assert expert.run(replace(told, goal=task.meaning(episode.scene, instruction))).success


def test_subscribers_see_every_tick_once_in_order(expert, task) -> None:
    witness = Witness()
    result = expert.run(task.sample(1), [witness])
    assert [step.tick for step in witness.steps] == list(range(result.ticks))
    assert [step.now_ns for step in witness.steps] == [EPOCH_NS + k * 10**9 // 120 for k in range(result.ticks)]
    assert witness.results == [result]
    assert witness.episodes == [task.sample(1)]


def test_watching_changes_nothing(policy, short) -> None:
    assert policy.run(short.sample(3), [Witness()]) == policy.run(short.sample(3))


@pytest.mark.parametrize(("latency", "delay"), [(0, 0), (6, 1), (10, 4)])
def test_the_first_command_comes_after_both_delays(bundle, robot, short, latency: int, delay: int) -> None:
    timing = PolicyTiming(context_latency_ticks=latency, inference_delay_ticks=delay)
    witness = Witness()
    result = Rollout(short, robot, PolicyAgent(bundle, robot, timing)).run(short.sample(3), [witness])
    first = next(step.tick for step in witness.steps if step.proposal is not None)
    assert first == latency + delay
    assert result.agent.silences.get("no chunk", 0) == first
    observed = witness.steps[first].proposal.observation_stamp_ns
    assert observed == EPOCH_NS


@pytest.mark.parametrize(
    ("timing", "contexts", "inferences"),
    [
        (PolicyTiming(context_hz=10, context_latency_ticks=0, infer_every=1, inference_delay_ticks=0), 10, 120),
        (PolicyTiming(context_hz=1, context_latency_ticks=0, infer_every=4, inference_delay_ticks=0), 1, 30),
        (PolicyTiming(context_hz=120, context_latency_ticks=12, infer_every=60, inference_delay_ticks=0), 10, 2),
        (PolicyTiming(context_hz=7, context_latency_ticks=0, infer_every=1, inference_delay_ticks=5), 7, 24),
    ],
)
def test_both_systems_run_at_their_rates(bundle, robot, short, timing, contexts: int, inferences: int) -> None:
    report = Rollout(short, robot, PolicyAgent(bundle, robot, timing)).run(short.sample(3)).agent
    assert (report.contexts, report.inferences) == (contexts, inferences)
    assert len(report.system1_ms) == inferences
    assert len(report.system2_ms) == contexts


def test_a_context_that_never_comes_leaves_the_arm_held(bundle, robot, short) -> None:
    timing = PolicyTiming(context_latency_ticks=240)
    witness = Witness()
    result = Rollout(short, robot, PolicyAgent(bundle, robot, timing)).run(short.sample(3), [witness])
    assert result.actions == {"HOLD": result.ticks}
    assert result.rules == {"time.silent": result.ticks}
    assert (witness.steps[-1].verdict.command == witness.steps[0].verdict.command).all()


class Jumper:
    """Silent, then at rest where the arm is, then far away for a tick, then at rest again."""

    name = "jumper"

    def __init__(self, robot: RobotConfig) -> None:
        self.joints = robot.joint_names
        self.following: list[bool] = []

    def reset(self, episode: Episode) -> None:  # noqa: ARG002
        self.following = []

    def propose(self, moment: Moment) -> Proposal | None:
        self.following.append(moment.following)
        if moment.tick < 5:
            return None
        return Proposal(
            source=self.name,
            sequence=moment.tick,
            stamp_ns=moment.now_ns,
            observation_stamp_ns=moment.now_ns,
            received_ns=moment.now_ns,
            joint_names=self.joints,
            q=moment.sample.q + (1.0 if moment.tick == 10 else 0.0),
        )

    def report(self) -> AgentReport:
        return AgentReport()


def test_an_agent_knows_whether_the_arm_follows(robot, short) -> None:
    agent = Jumper(robot)
    result = Rollout(short, robot, agent).run(short.sample(3))
    held = [tick for tick, following in enumerate(agent.following) if not following]
    assert held == [0, 1, 2, 3, 4, 5, 11]
    assert result.actions["REJECT"] == 1


def test_the_supervisor_stands_between(bundle, robot, short) -> None:
    """A policy of normal speed is slowed down by a supervisor told to allow little, and the verdicts say so."""
    strict = SupervisorConfig(sources=("system1",), velocity_scale=0.01)
    witness = Witness()
    result = Rollout(short, robot, PolicyAgent(bundle, robot), strict).run(short.sample(3), [witness])
    assert result.actions.get("CLAMP", 0) > 0
    commands = np.array([step.verdict.command for step in witness.steps])
    assert (np.abs(np.diff(commands, axis=0)) <= robot.velocity * 0.01 / CONTROL_HZ + 1e-9).all()


def test_passed_proposals_are_the_command_to_the_bit(policy, short) -> None:
    witness = Witness()
    policy.run(short.sample(3), [witness])
    passed = [step for step in witness.steps if step.verdict.action is Action.PASS]
    assert len(passed) > 100
    assert all((step.verdict.command == step.proposal.q).all() for step in passed)


@pytest.mark.parametrize(
    "changes",
    [
        {"context_hz": 0.0},
        {"context_hz": float("nan")},
        {"context_hz": 121.0},
        {"context_latency_ticks": -1},
        {"inference_delay_ticks": 1000},
        {"infer_every": 0},
    ],
)
def test_impossible_timings_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"timing: got {next(iter(changes))}"):
        PolicyTiming(**changes)
