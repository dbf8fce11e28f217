import numpy as np
import pytest

from so_arm_policy.core.errors import InputError
from so_arm_policy.sim.expert import Expert
from so_arm_policy.sim.goal import Goal, Step
from so_arm_policy.sim.places import place_center
from so_arm_policy.sim.scene import random_scene
from so_arm_policy.sim.tasks.pick_place import PickPlace
from so_arm_policy.sim.tasks.task import SPLITS


@pytest.fixture(scope="module")
def task():
    return PickPlace()


@pytest.fixture(scope="module")
def demonstration(demonstrations, simulator, robot, task):
    return demonstrations(simulator, Expert(robot, task), task)


@pytest.mark.parametrize("seed", range(6))
def test_expert_puts_the_object_where_it_was_told(demonstration, task, seed):
    episode = task.sample(seed)
    status, _ = demonstration.run(episode)
    assert status.success
    assert status.held_s >= 0.5
    assert task.focus(demonstration.simulator, episode.goal).progress == 1


def test_every_split_says_what_it_means_and_can_be_done(demonstration, task):
    for split in SPLITS:
        for seed in range(20):
            episode = task.sample(seed, split)
            assert task.meaning(episode.scene, episode.instruction) == episode.goal
            assert (episode.instruction in task.corpus()) is (split == "train")
        assert demonstration.run(task.sample(3, split))[0].success


def test_the_wrong_object_the_wrong_place_and_standing_still_fail(demonstration, task):
    episode = task.sample(2)
    (step,) = episode.goal.steps
    other_place = "plate" if step.place == "bowl" else "bowl"
    for told in (Step((step.object + 1) % 3, step.place), Step(step.object, other_place)):
        assert not demonstration.run(episode, told=Goal((told,)))[0].success
    simulator = demonstration.simulator
    simulator.reset(episode.scene)
    tracker = task.tracker(episode.goal)
    for _ in range(120):
        simulator.step()
        assert not tracker.update(simulator).success


def put(simulator, number, place, offset):
    """Place an object by hand, `offset` from the middle of the place."""
    at = simulator.model.joint(f"object{number}").qposadr[0]
    simulator.data.qpos[at : at + 3] = place_center(simulator.scene, place) + offset


def test_another_object_in_the_place_spoils_it(simulator, task):
    scene = random_scene(4, task.objects)
    for spoilt in (False, True):
        simulator.reset(scene)
        put(simulator, 0, "bowl", [0.02, 0.0, 0.025])
        if spoilt:
            put(simulator, 1, "bowl", [-0.02, 0.0, 0.025])
        tracker = task.tracker(Goal((Step(0, "bowl"),)))
        for _ in range(240):
            simulator.step()
            status = tracker.update(simulator)
        assert status.success is not spoilt


def test_an_object_that_was_moved_is_taken_from_where_it_is_now(demonstration, task):
    def nudge(tick, simulator):
        if tick == 40:
            (step,) = task.sample(8).goal.steps
            at = simulator.model.joint(f"object{step.object}").qposadr[0]
            simulator.data.qpos[at : at + 2] += [0.0, 0.02]

    assert demonstration.run(task.sample(8), nudge=nudge)[0].success


def test_the_same_seed_ends_the_same_to_the_bit(demonstration, task):
    first = demonstration.run(task.sample(5))[1]
    demonstration.run(task.sample(6))
    assert np.array_equal(first, demonstration.run(task.sample(5))[1])


def test_every_object_can_be_told_to_go_to_both_places(task):
    scene = random_scene(1, task.objects)
    told = task.instructions(scene)
    assert len(set(told)) == 6
    assert len({task.meaning(scene, text) for text in told}) == 6
    assert len(task.instructions(random_scene(1))) == 3
    with pytest.raises(InputError, match="expected e.g. one of"):
        task.meaning(scene, "put the moon in the bowl")
