"""Perturbations with a strength: nothing at 0, the same for the same seed, and gone with the episode."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.values import CameraImage, JointSample, Proposal
from so_arm_policy.evaluate.agent import Agent, AgentReport, Moment
from so_arm_policy.evaluate.crafted_agents import privileged_pid_agent as pid_agent
from so_arm_policy.evaluate.eyes import CameraEyes
from so_arm_policy.evaluate.graded import GRADED, UNDISTURBED, Condition, conditions, turned_hue
from so_arm_policy.evaluate.perturbations import perturbed
from so_arm_policy.evaluate.policy_agent import PolicyAgent
from so_arm_policy.evaluate.rollout import Rollout, Step
from so_arm_policy.evaluate.seeing_agent import SeeingAgent, SeeingTiming
from so_arm_policy.policy.bundle import Bundle
from so_arm_policy.sim.model import standing_camera
from so_arm_policy.sim.scene import EVERYTHING, Scene, random_scene
from so_arm_policy.sim.tasks import make_task
from so_arm_policy.sim.tasks.reach import Reach
from so_arm_policy.sim.tasks.task import Episode

TASK = Reach(time_limit_s=0.8)
SEED = 3
PHYSICAL = {"payload": 0.3, "gain": -0.6, "push": 2.0, "joint_noise": 0.01}
SEEN = {"camera_shift": 0.04, "lighting": -3.0, "distractors": 8.0, "camera_dropout": 0.8, "latency": 200.0}
STRONG = {**PHYSICAL, **SEEN, "colours": 90.0}


@dataclass
class Witness:
    """Keeps every tick."""

    steps: list[Step] = field(default_factory=list)

    def on_start(self, episode: Episode) -> None:
        self.steps = []

    def on_step(self, step: Step) -> None:
        self.steps.append(step)

    def on_end(self, result) -> None:
        pass


def stage(agent: Agent, robot: RobotConfig, name: str, strength: float) -> Rollout:
    """What `so-arm compare` makes of a condition."""
    perturbation = Condition(name, strength).make()
    disturbance = perturbation.disturbance() if perturbation.disturbance else None
    return Rollout(TASK, robot, perturbed(agent, perturbation, robot, 0), disturbance=disturbance)


def digests(
    bundle: Bundle, robot: RobotConfig, name: str, strength: float, seeds: Sequence[int] = (SEED,)
) -> list[str]:
    """Of the tiny policy, which moves by the brightness of the pictures and by its joints."""
    rollout = stage(PolicyAgent(bundle, robot), robot, name, strength)
    found = [rollout.run(TASK.sample(seed)).digest for seed in seeds]
    rollout.close()
    return found


@pytest.fixture(scope="module")
def plain(bundle: Bundle, robot: RobotConfig) -> str:
    return Rollout(TASK, robot, PolicyAgent(bundle, robot)).run(TASK.sample(SEED)).digest


@pytest.mark.parametrize("name", STRONG)
def test_a_strength_of_zero_changes_nothing_and_another_does(bundle, robot, plain: str, name: str) -> None:
    assert digests(bundle, robot, name, 0.0) == [plain]
    assert digests(bundle, robot, name, STRONG[name]) != [plain]


@pytest.mark.parametrize("name", STRONG)
def test_an_episode_is_the_same_alone_and_after_others(bundle, robot, name: str) -> None:
    again = digests(bundle, robot, name, STRONG[name], (SEED + 1, SEED, SEED))
    assert again[1] == again[2] == digests(bundle, robot, name, STRONG[name])[0]
    assert again[0] != again[1]


def test_every_kind_but_phrasings_is_tested_above() -> None:
    assert {*STRONG, "phrasings"} == set(GRADED)


def test_noise_reaches_what_is_measured_and_not_what_is(robot: RobotConfig) -> None:
    witness = Witness()
    rollout = stage(pid_agent(make_task("reach"), robot), robot, "joint_noise", 0.02)
    rollout.run(TASK.sample(SEED), [witness])
    errors = np.array([step.sample.q - step.q for step in witness.steps])
    assert 0.01 < errors.std() < 0.03
    assert all(np.isin(step.q, step.qpos).all() for step in witness.steps)


def test_a_shifted_camera_stands_aside_and_does_not_turn(robot: RobotConfig) -> None:
    scenes = [random_scene(seed, EVERYTHING) for seed in range(6)]
    camera, directions = robot.camera("overhead"), []
    for scene in scenes:
        moved = Condition("camera_shift", 0.02).make().scene(scene)
        before, after = standing_camera(camera, scene), standing_camera(camera, moved)
        shift = after.position - before.position
        assert np.linalg.norm(shift) == pytest.approx(0.02)
        assert shift[2] == pytest.approx(0.0)
        assert after.R_world_optical == pytest.approx(before.R_world_optical)
        directions.append(shift / 0.02)
    assert np.linalg.norm(np.mean(directions, axis=0)) < 0.9


def test_hues_turn_and_grey_stays() -> None:
    assert turned_hue((1.0, 0.0, 0.0), 120.0) == pytest.approx((0.0, 1.0, 0.0))
    assert turned_hue((0.3, 0.3, 0.3), 77.0) == pytest.approx((0.3, 0.3, 0.3))
    scene = random_scene(SEED)
    moved = Condition("colours", 20.0).make().scene(scene)
    for a, b in zip(scene.objects, moved.objects, strict=True):
        assert replace(b, rgb=a.rgb) == a
        assert b.rgb in (pytest.approx(turned_hue(a.rgb, 20.0)), pytest.approx(turned_hue(a.rgb, -20.0)))


@pytest.mark.parametrize("objects", [None, EVERYTHING])
def test_patches_lie_beside_everything_and_fewer_are_the_first_of_more(objects) -> None:
    for seed in range(10):
        scene = random_scene(seed) if objects is None else random_scene(seed, objects)
        many, few = (Condition("distractors", n).make().scene(scene).patches for n in (8.0, 3.0))
        assert (len(many), few) == (8, many[:3])
        middles = [(p.x, p.y) for p in (*many, *scene.objects)]
        apart = [np.hypot(a - c, b - d) for i, (a, b) in enumerate(middles) for c, d in middles[:i]]
        assert min(apart) >= 0.05


@dataclass
class Looker:
    """Stays where it is, looks every so many ticks and keeps every picture."""

    robot: RobotConfig
    every: int = 4
    name: str = "hold"
    seen: list[tuple[int, dict[str, CameraImage]]] = field(default_factory=list)

    def reset(self, episode: Episode) -> None:
        self.seen = []

    def propose(self, moment: Moment) -> Proposal | None:
        if moment.tick % self.every == 0:
            self.seen.append((moment.now_ns, dict(moment.look(self.robot.camera_names))))

    def report(self) -> AgentReport:
        return AgentReport()


def looked(robot: RobotConfig, name: str, strength: float, every: int = 4) -> list[tuple[int, dict[str, CameraImage]]]:
    looker = Looker(robot, every)
    rollout = stage(looker, robot, name, strength)
    rollout.run(TASK.sample(SEED))
    rollout.close()
    return looker.seen


def test_paint_is_drawn_and_nothing_else_changes(robot: RobotConfig) -> None:
    (_, without), (_, painted) = looked(robot, "distractors", 0.0)[0], looked(robot, "distractors", 8.0)[0]
    differ = (without["overhead"].rgb != painted["overhead"].rgb).any(axis=2)
    assert 0.005 < differ.mean() < 0.15


def test_lost_pictures_are_the_same_ones_however_often_somebody_looks(robot: RobotConfig) -> None:
    def lost(every: int) -> dict[int, bool]:
        return {now: p["overhead"].stamp_ns < now for now, p in looked(robot, "camera_dropout", 0.5, every)}

    often, seldom = lost(1), lost(4)
    later = [now for now in seldom if now > min(seldom)]
    assert all(often[now] == seldom[now] for now in later)
    assert 0.3 < np.mean([*often.values()]) < 0.7
    assert not any(p["overhead"].stamp_ns < now for now, p in looked(robot, "camera_dropout", 0.0))


def test_a_lost_picture_shows_what_the_last_one_showed_and_eyes_wait_for_another(robot: RobotConfig) -> None:
    seen = looked(robot, "camera_dropout", 1.0)
    assert {p["overhead"].stamp_ns for _, p in seen} == {seen[0][0]}
    eyes, tables = CameraEyes(robot), []

    class Observer(Looker):
        def propose(self, moment: Moment) -> Proposal | None:
            tables.append(eyes.look(moment, None))

    stage(Observer(robot), robot, "camera_dropout", 1.0).run(TASK.sample(SEED))
    assert tables[0] is not None
    assert len(tables) > 90
    assert tables[1:] == [None] * (len(tables) - 1)


@dataclass
class Source:
    """Notes when it is shown what."""

    name: str = "source"
    wanted: frozenset[str] | None = None
    now_ns: int = 0
    delays: list[float] = field(default_factory=list)

    def tell(self, instruction: str) -> None:
        pass

    def reset(self) -> None:
        self.delays = []

    def see(self, table: object, stamp_ns: int) -> None:
        self.delays.append(stamp_ns)

    def command(self, now_ns: int, sample: JointSample):
        self.delays = [s if s < 0 else s - now_ns for s in self.delays]


class Blank:
    """Eyes that see something."""

    def look(self, moment: Moment, wanted: frozenset[str] | None):
        return ()


def test_latency_is_added_to_that_of_the_agent(robot: RobotConfig) -> None:
    source = Source()
    agent = SeeingAgent(source, robot, Blank(), SeeingTiming(latency_ticks=6))
    stage(agent, robot, "latency", 100.0).run(TASK.sample(SEED))
    assert len(source.delays) > 10
    assert all(delay == pytest.approx(-150e6, abs=1.0) for delay in source.delays)


def test_a_policy_waits_longer_for_its_context(bundle: Bundle, robot: RobotConfig) -> None:
    first = {}
    for ms in (0.0, 100.0):
        witness = Witness()
        stage(PolicyAgent(bundle, robot), robot, "latency", ms).run(TASK.sample(SEED), [witness])
        first[ms] = next(step.tick for step in witness.steps if step.proposal is not None)
    assert first[100.0] - first[0.0] == 12


def test_phrasings_change_the_words_alone() -> None:
    task = make_task("pick_place")
    kind = Condition("phrasings", 1.0).make()
    for seed in range(10):
        told, usual = kind.episode(task, seed), task.sample(seed)
        assert (told.scene, told.goal) == (usual.scene, usual.goal)
        assert told.instruction != usual.instruction
        assert GRADED["phrasings"].at(0.0).episode(task, seed) == usual


def test_the_table_is_in_order() -> None:
    for name, kind in GRADED.items():
        assert all(Condition(name, strength).make().text for strength in kind.strengths)
        assert kind.least <= 0.0 < kind.most
        assert 0.0 not in kind.strengths
        for extreme in (kind.least, kind.most):
            change = Condition(name, extreme).make().scene
            for seed in range(20):
                assert change is None or isinstance(change(random_scene(seed, EVERYTHING)), Scene)


def test_conditions_are_read() -> None:
    assert conditions(None) == conditions([]) == [UNDISTURBED]
    assert conditions(["push=0,0.5", "gain=-0.5,0"]) == [UNDISTURBED, Condition("push", 0.5), Condition("gain", -0.5)]
    assert conditions(["payload"])[:2] == [UNDISTURBED, Condition("payload", 0.25)]
    assert UNDISTURBED.make().from_the_start


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("wind=1", "got 'wind', expected one of"),
        ("push=much", "got 'push=much', expected NAME=STRENGTH"),
        ("push=", "expected NAME=STRENGTH"),
        ("push=nan", "push: got strength nan, expected 0..10 N s"),
        ("payload=-1", "payload: got strength -1.0, expected 0..3 kg"),
        ("distractors=1.5", "expected a whole number within 0..8 squares"),
        ("phrasings=0.5", "expected a whole number within 0..1"),
    ],
)
def test_what_is_not_possible_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        conditions([text])
