import math

import pytest

from so_arm_policy.robot.description import load_robot
from so_arm_policy.sim.expert import Expert
from so_arm_policy.sim.goal import Goal, Step
from so_arm_policy.sim.places import place_center
from so_arm_policy.sim.simulator import Simulator
from so_arm_policy.sim.tasks.handover import Handover
from so_arm_policy.sim.tasks.task import SPLITS


@pytest.fixture(scope="module")
def task():
    return Handover()


@pytest.fixture(scope="module")
def demonstration(demonstrations, task):
    robot = load_robot(task.robot)
    simulator = Simulator(robot, task.sample(0).scene)
    return demonstrations(simulator, Expert(robot, task), task)


def test_expert_passes_every_kind_from_left_to_right(demonstration, task):
    done = set()
    for seed in range(40):
        episode = task.sample(seed)
        kind = episode.scene.objects[episode.goal.steps[0].object].kind
        if kind not in done:
            assert demonstration.run(episode)[0].success, (seed, kind)
            done.add(kind)
    assert done == {"cube", "can", "brick"}


def test_another_object_fails(demonstration, task):
    episode = task.sample(1)
    other = Step((episode.goal.steps[0].object + 1) % 3, "bowl")
    assert not demonstration.run(episode, told=Goal((other,)))[0].success


def test_an_object_in_the_bowl_that_nobody_passed_is_no_success(demonstration, task):
    episode, simulator = task.sample(2), demonstration.simulator
    simulator.reset(episode.scene)
    number = episode.goal.steps[0].object
    at = simulator.model.joint(f"object{number}").qposadr[0]
    simulator.data.qpos[at : at + 3] = place_center(episode.scene, "bowl") + [0.0, 0.0, 0.03]
    tracker = task.tracker(episode.goal)
    for _ in range(240):
        simulator.step()
        assert not tracker.update(simulator).success
    assert task.focus(simulator, episode.goal).progress == 1


@pytest.mark.parametrize("split", SPLITS)
def test_scenes_have_objects_left_and_the_bowl_right(task, split):
    for seed in range(20):
        episode = task.sample(seed, split)
        assert episode == task.sample(seed, split)
        assert task.meaning(episode.scene, episode.instruction) == episode.goal
        assert len(set(task.instructions(episode.scene))) == 3
        assert episode.scene.bowl_y < -0.15
        assert episode.scene.plate_x is None
        for i, thing in enumerate(episode.scene.objects):
            assert thing.y > 0.05
            assert all(math.dist((thing.x, thing.y), (o.x, o.y)) >= 0.075 for o in episode.scene.objects[:i])
