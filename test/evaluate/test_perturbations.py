"""Perturbations: what a policy sees changes from the onset on, and nothing else does."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.core.values import CameraImage, Proposal
from so_arm_policy.evaluate.agent import AgentReport, Moment
from so_arm_policy.evaluate.perturbations import PERTURBATIONS, perturbed
from so_arm_policy.evaluate.policy_agent import PolicyAgent
from so_arm_policy.evaluate.rollout import EpisodeResult, Rollout, Step
from so_arm_policy.policy.bundle import Bundle
from so_arm_policy.sim.tasks import make_task
from so_arm_policy.sim.tasks.reach import Reach
from so_arm_policy.sim.tasks.task import Episode

ONSET = 24
OF_PICTURES = [name for name, p in PERTURBATIONS.items() if not p.from_the_start and name != "clean"]


@dataclass
class Looker:
    """Stays where it is and keeps every picture."""

    robot: RobotConfig
    name: str = "hold"
    seen: list[dict[str, CameraImage]] = field(default_factory=list)

    def reset(self, episode: Episode) -> None:
        self.seen = []

    def propose(self, moment: Moment) -> Proposal | None:
        if moment.tick % 12 == 0:
            self.seen.append(dict(moment.look(self.robot.camera_names)))

    def report(self) -> AgentReport:
        return AgentReport()


@dataclass
class Witness:
    """Keeps every tick."""

    steps: list[Step] = field(default_factory=list)

    def on_start(self, episode: Episode) -> None:
        self.steps = []

    def on_step(self, step: Step) -> None:
        self.steps.append(step)

    def on_end(self, result: EpisodeResult) -> None:
        pass


def pictures(robot: RobotConfig, name: str) -> list[dict[str, CameraImage]]:
    """Pictures of one short episode, each tenth of a second."""
    looker = Looker(robot)
    shown = perturbed(looker, PERTURBATIONS[name], robot, ONSET)
    task = Reach(time_limit_s=0.5)
    rollout = Rollout(task, robot, shown)
    rollout.run(task.sample(3))
    rollout.close()
    shown.close()
    return looker.seen


@pytest.fixture(scope="module")
def clean(robot: RobotConfig) -> list[dict[str, CameraImage]]:
    return pictures(robot, "clean")


@pytest.mark.parametrize("name", OF_PICTURES)
def test_pictures_change_from_the_onset_on_and_not_before(robot: RobotConfig, clean, name: str) -> None:
    seen = pictures(robot, name)
    assert len(seen) == len(clean) == 5
    for k, (got, usual) in enumerate(zip(seen, clean, strict=True)):
        assert list(got) == list(usual)
        for camera, picture in got.items():
            assert picture.camera == camera
            assert picture.rgb.shape == usual[camera].rgb.shape
            assert picture.rgb.dtype == np.uint8
        same = all(p.stamp_ns == usual[c].stamp_ns and (p.rgb == usual[c].rgb).all() for c, p in got.items())
        assert same == (12 * k < ONSET or (name in ("frozen", "stopped") and 12 * k == ONSET))


def test_a_perturbation_repeats_to_the_bit(robot: RobotConfig) -> None:
    a, b = pictures(robot, "noise"), pictures(robot, "noise")
    assert all((x[c].rgb == y[c].rgb).all() for x, y in zip(a, b, strict=True) for c in x)


def test_the_policy_acts_on_what_it_is_shown(bundle: Bundle, robot: RobotConfig) -> None:
    """The tiny policy moves by the brightness of the pictures."""
    task = Reach(time_limit_s=0.6)
    digests, steps = {}, {}
    for name in ("clean", "black", "stopped"):
        agent = perturbed(PolicyAgent(bundle, robot), PERTURBATIONS[name], robot, ONSET)
        witness = Witness()
        digests[name] = Rollout(task, robot, agent).run(task.sample(3), [witness]).digest
        steps[name] = witness.steps
    plain = Rollout(task, robot, PolicyAgent(bundle, robot)).run(task.sample(3))
    assert plain.digest == digests["clean"]
    assert digests["black"] != digests["clean"]
    before = [s for s in steps["black"] if s.tick < ONSET]
    assert all((a.sample.q == b.sample.q).all() for a, b in zip(before, steps["clean"], strict=False))
    old, new = (steps[name][-1].proposal for name in ("stopped", "clean"))
    assert old.observation_stamp_ns < new.observation_stamp_ns


def test_an_instruction_about_what_is_not_there() -> None:
    task = make_task("pick_place")
    for seed in range(20):
        episode, usual = PERTURBATIONS["absent"].episode(task, seed), task.sample(seed)
        assert (episode.scene, episode.goal) == (usual.scene, usual.goal)
        assert all(thing.words not in episode.instruction for thing in episode.scene.objects)


def test_unknown_pairs_are_those_of_the_split() -> None:
    made = PERTURBATIONS["unknown_pairs"].episode
    assert made(make_task("pick_place"), 3) == make_task("pick_place").sample(3, "pairs")
    with pytest.raises(ConfigError):
        made(make_task("reach"), 3)
