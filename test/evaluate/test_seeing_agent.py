"""Sources that see, in lockstep: what they are shown and when, how far they get, and that they are never corrected."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from so_arm_policy.cli import main
from so_arm_policy.control.tabletop import Tabletop
from so_arm_policy.control.thing_servo import pid_source, servo_source
from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.values import JointSample
from so_arm_policy.evaluate.agent import Moment
from so_arm_policy.evaluate.campaign import Campaign, run_campaign
from so_arm_policy.evaluate.crafted_agents import privileged_pid_agent as pid_agent
from so_arm_policy.evaluate.crafted_agents import privileged_servo_agent as servo_agent
from so_arm_policy.evaluate.rollout import EPOCH_NS, Rollout
from so_arm_policy.evaluate.seeing_agent import SeeingAgent, SeeingTiming, TruthEyes
from so_arm_policy.sim.arm_model import arm_spec
from so_arm_policy.sim.tasks import make_task
from so_arm_policy.sim.tasks.reach import Reach
from so_arm_policy.sim.tasks.task import Task


def due_ns(tick: int) -> int:
    return EPOCH_NS + tick * 10**9 // 120


@dataclass
class Listener:
    """A source that stays where it is and writes down what happens to it."""

    name: str = "listener"
    told: list[str] = field(default_factory=list)
    seen: list[tuple[int, int, Tabletop]] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    wanted: frozenset[str] | None = None

    def tell(self, instruction: str) -> None:
        self.told.append(instruction)

    def see(self, table: Tabletop, stamp_ns: int) -> None:
        self.seen.append((len(self.asked), stamp_ns, table))

    def command(self, now_ns: int, sample: JointSample) -> tuple[FloatArray, FloatArray] | None:
        self.asked.append(now_ns)
        return (sample.q, np.zeros(len(sample.q))) if self.seen else None

    def reset(self) -> None:
        self.seen.clear()
        self.asked.clear()


class Blinking:
    """Eyes that see the truth every second time."""

    def __init__(self) -> None:
        self.looks = 0

    def look(self, moment: Moment, wanted: frozenset[str] | None) -> Tabletop | None:
        self.looks += 1
        return TruthEyes().look(moment, wanted) if self.looks % 2 == 0 else None


class Blurred:
    """Eyes that are a few millimetres off and miss every fifth picture."""

    def __init__(self, std_m: float) -> None:
        self._rng, self._std_m = np.random.default_rng(0), std_m

    def look(self, moment: Moment, wanted: frozenset[str] | None) -> Tabletop | None:
        table = TruthEyes().look(moment, wanted)
        if self._rng.random() < 0.2:
            return None
        off = self._rng.normal(0, self._std_m, (len(table.things), 3))
        things = [replace(thing, position=thing.position + d) for thing, d in zip(table.things, off, strict=True)]
        return Tabletop(things=tuple(things), places=table.places)


@pytest.fixture(scope="module")
def short() -> Task:
    return Reach(time_limit_s=0.5)


def test_looks_arrive_in_order_and_late_by_the_latency(short: Task, robot: RobotConfig) -> None:
    source = Listener()
    agent = SeeingAgent(source, robot, TruthEyes(), SeeingTiming(hz=30.0, latency_ticks=6))
    result = Rollout(short, robot, agent).run(short.sample(0))
    assert source.told == [short.sample(0).instruction]
    assert source.asked == [due_ns(tick) for tick in range(60)]
    assert [(tick, stamp) for tick, stamp, _ in source.seen] == [(k + 6, due_ns(k)) for k in range(0, 54, 4)]
    assert result.agent.contexts == 15
    assert result.agent.silences == {"no command": 6}
    scene = short.sample(0).scene
    assert [thing.words for thing in source.seen[0][2].things] == [thing.words for thing in scene.objects]


def test_a_look_that_makes_out_nothing_is_not_shown(short: Task, robot: RobotConfig) -> None:
    source = Listener()
    agent = SeeingAgent(source, robot, Blinking(), SeeingTiming(hz=30.0, latency_ticks=0))
    Rollout(short, robot, agent).run(short.sample(0))
    assert [stamp for _, stamp, _ in source.seen] == [due_ns(k) for k in range(4, 60, 8)]


def test_while_nothing_matters_nothing_is_looked_at_and_a_proposal_follows_from_the_joints(short, robot) -> None:
    ages = []

    class Ages:
        def on_start(self, episode) -> None: ...
        def on_end(self, result) -> None: ...
        def on_step(self, step) -> None:
            if step.proposal is not None:
                ages.append(step.now_ns - step.proposal.observation_stamp_ns)

    class Content(Listener):
        def see(self, table: Tabletop, stamp_ns: int) -> None:
            super().see(table, stamp_ns)
            self.wanted = frozenset()

    eyes = Blinking()
    Rollout(short, robot, SeeingAgent(Content(), robot, eyes, SeeingTiming(latency_ticks=0))).run(
        short.sample(0), [Ages()]
    )
    assert eyes.looks == 2
    assert ages == [0] * 56


def test_a_proposal_follows_from_what_was_seen_last(short: Task, robot: RobotConfig) -> None:
    ages = []

    class Ages:
        def on_start(self, episode) -> None: ...
        def on_end(self, result) -> None: ...
        def on_step(self, step) -> None:
            if step.proposal is not None:
                ages.append(round((step.now_ns - step.proposal.observation_stamp_ns) * 120 / 1e9))

    follower, looker = Listener(wanted=frozenset({"red"})), Listener(wanted=None)
    for source in (follower, looker):
        agent = SeeingAgent(source, robot, TruthEyes(), SeeingTiming(hz=30.0, latency_ticks=6))
        Rollout(short, robot, agent).run(short.sample(0), [Ages()])
    assert ages[:54] == [6 + k % 4 for k in range(54)]
    assert ages[54:] == [0] * 54, "who looks at everything rests meanwhile"


@pytest.mark.parametrize("change", [{"hz": 0.0}, {"hz": float("nan")}, {"hz": 121.0}, {"latency_ticks": -1}])
def test_timing_that_no_loop_keeps_is_refused(change: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="seeing: got"):
        SeeingTiming(**change)


@pytest.mark.parametrize(("task_name", "agent"), [("reach", pid_agent), ("reach", servo_agent), ("track", servo_agent)])
def test_it_succeeds_and_the_supervisor_changes_no_command(task_name: str, agent, robot: RobotConfig) -> None:
    task = make_task(task_name)
    rollout = Rollout(task, robot, agent(task, robot))
    for seed in range(4 if task_name == "reach" else 2):
        result = rollout.run(task.sample(seed))
        assert result.success
        assert result.actions == {"PASS": result.ticks - 6, "HOLD": 6}  # until the first look has arrived
        assert result.rules == {"time.silent": 6}


@pytest.mark.parametrize(("task_name", "make"), [("reach", pid_source), ("track", servo_source)])
def test_blurred_sight_makes_neither_failure_nor_correction(task_name: str, make, robot: RobotConfig) -> None:
    task = make_task(task_name)
    source = make(arm_spec().compile(), robot)
    result = Rollout(task, robot, SeeingAgent(source, robot, Blurred(0.003))).run(task.sample(5))
    assert result.success
    assert set(result.rules) == {"time.silent"}


def test_in_scenes_of_all_objects_too(robot: RobotConfig) -> None:
    results = list(run_campaign(Campaign(task="reach", scripted="pid_privileged", all_objects=True), [1, 2, 3]))
    assert all(result.success for result in results)


def test_an_episode_repeats_to_the_bit_also_after_another(task: Task, robot: RobotConfig) -> None:
    rollout = Rollout(task, robot, pid_agent(task, robot))
    first = rollout.run(task.sample(3))
    rollout.run(task.sample(4))
    assert rollout.run(task.sample(3)) == first
    assert Rollout(task, robot, pid_agent(task, robot)).run(task.sample(3)) == first


def test_it_does_what_it_is_told(task: Task, robot: RobotConfig) -> None:
    episode = task.sample(0)
    other = task.instructions(episode.scene)[(episode.goal.steps[0].object + 1) % 3]
    rollout = Rollout(task, robot, pid_agent(task, robot))
    assert not rollout.run(replace(episode, instruction=other)).success
    goal = task.meaning(episode.scene, other)
    assert rollout.run(replace(episode, instruction=other, goal=goal)).success


def test_a_thing_that_is_not_there_is_waited_for(short: Task, robot: RobotConfig) -> None:
    result = Rollout(short, robot, pid_agent(short, robot)).run(
        replace(short.sample(0), instruction="touch the cyan brick")
    )
    assert not result.success
    assert result.agent.silences == {"nothing seen yet": 6, "table": 54}
    assert result.actions == {"HOLD": 60}


def test_tasks_that_grasp_are_refused(robot: RobotConfig, capsys: pytest.CaptureFixture[str]) -> None:
    for agent, expected in (("pid", "'reach'"), ("servo", "'reach' or 'track'")):
        assert main(["eval", "pick_place", "--agent", agent, "--seeds", "1"]) == 2
        assert f"agent '{agent}': got task 'pick_place', expected {expected}" in capsys.readouterr().err
