import pytest

from so_arm_policy.core.errors import InputError
from so_arm_policy.sim.expert import Expert
from so_arm_policy.sim.goal import Goal
from so_arm_policy.sim.places import place_center
from so_arm_policy.sim.scene import random_scene
from so_arm_policy.sim.tasks.sort import Sort
from so_arm_policy.sim.tasks.task import SPLITS


@pytest.fixture(scope="module")
def task():
    return Sort()


@pytest.fixture(scope="module")
def demonstration(demonstrations, simulator, robot, task):
    return demonstrations(simulator, Expert(robot, task), task)


@pytest.mark.parametrize("seed", range(3))
def test_expert_puts_both_where_they_belong(demonstration, task, seed):
    episode = task.sample(seed)
    status, _ = demonstration.run(episode)
    assert status.success
    assert task.focus(demonstration.simulator, episode.goal).progress == 2


def test_the_other_order_and_the_other_places_fail(demonstration, task):
    episode = task.sample(4)
    first, second = episode.goal.steps
    assert not demonstration.run(episode, told=Goal((second, first)))[0].success
    swapped = Goal((type(first)(first.object, second.place), type(first)(second.object, first.place)))
    assert not demonstration.run(episode, told=swapped)[0].success


def put(simulator, number, place):
    at = simulator.model.joint(f"object{number}").qposadr[0]
    simulator.data.qpos[at : at + 3] = place_center(simulator.scene, place) + [0.0, 0.0, 0.03]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_order_is_judged_and_progress_is_counted(simulator, task, order):
    episode = task.sample(5)
    simulator.reset(episode.scene)
    tracker = task.tracker(episode.goal)
    progress = []
    for number in order:
        step = episode.goal.steps[number]
        put(simulator, step.object, step.place)
        for _ in range(180):
            simulator.step()
            status = tracker.update(simulator)
        progress.append(task.focus(simulator, episode.goal).progress)
    assert status.success is (order == (0, 1))
    assert progress == ([1, 2] if order == (0, 1) else [0, 2])


@pytest.mark.parametrize("split", SPLITS)
def test_sentences_say_what_they_mean(task, split):
    for seed in range(40):
        episode = task.sample(seed, split)
        assert task.meaning(episode.scene, episode.instruction) == episode.goal
        if split == "pairs":
            named = {episode.scene.objects[step.object].words for step in episode.goal.steps}
            assert named & {" ".join(pair) for pair in task.objects.held_out}


def test_twelve_things_can_be_told_and_nonsense_is_refused(task):
    scene = random_scene(1, task.objects)
    told = task.instructions(scene)
    assert len({task.meaning(scene, text) for text in told}) == len(told) == 12
    a, b = scene.objects[0].words, scene.objects[1].words
    for text in (
        f"first put the {a} in the bowl, then the {a} on the plate",
        f"first put the {a} in the bowl, then the {b} in the bowl",
        f"first put the {a} in the bowl",
    ):
        with pytest.raises(InputError, match="expected e.g. one of"):
            task.meaning(scene, text)
