import numpy as np
import pytest

from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.sim.expert import Expert, arm_iks
from so_arm_policy.sim.goal import Goal, Step
from so_arm_policy.sim.law import ACCELERATION, MAX_SPEED, TICK_S
from so_arm_policy.sim.scene import EVERYTHING
from so_arm_policy.sim.tasks import make_task
from so_arm_policy.sim.tasks.reach import Reach

TASKS = {"foundation": Reach(), "everything": Reach(objects=EVERYTHING)}

FIRST_INSTRUCTION = "reach for the yellow cube"
FIRST_GOAL = Goal(steps=(Step(object=0, place=None),))
FIRST_WORDS = ["yellow cube", "red cube", "green cube"]
FIRST_PLACES = [
    0.262716139,
    0.027823053,
    -0.334760755,
    0.187591041,
    -0.131877536,
    0.203233743,
    0.256051339,
    -0.061664138,
    -0.316143498,
]


@pytest.fixture(scope="module", params=sorted(TASKS))
def task(request):
    return TASKS[request.param]


@pytest.fixture(scope="module")
def expert(robot, task):
    return Expert(robot, task)


def only(number):
    return Goal((Step(number),))


def follow(expert, simulator, goal, tracker, ticks=480):
    expert.reset(simulator, goal)
    for _ in range(ticks):
        before = expert.dq
        q, dq = expert.command(simulator)
        assert np.abs(dq).max() <= MAX_SPEED + ACCELERATION * TICK_S
        assert np.abs(dq - before).max() <= ACCELERATION * TICK_S + 1e-9
        simulator.step(q)
        status = tracker.update(simulator)
        if status.success:
            return status
    return status


@pytest.mark.parametrize("seed", range(8))
def test_expert_reaches_every_object_one_after_the_other(simulator, task, expert, seed):
    episode = task.sample(seed)
    simulator.reset(episode.scene)
    for number in range(3):
        status = follow(expert, simulator, only(number), task.tracker(only(number)))
        assert status.success
        assert status.held_s >= 0.5
        assert task.focus(simulator, only(number)).progress == 1


def test_standing_still_or_at_another_object_is_no_success(simulator, task, expert):
    episode = task.sample(1)
    simulator.reset(episode.scene)
    tracker = task.tracker(episode.goal)
    assert not any(tracker.update(simulator).success for _ in range(120))
    target = episode.goal.steps[0].object
    other = only((target + 1) % 3)
    follow(expert, simulator, other, task.tracker(other))
    assert simulator.surface_distance(target, simulator.fingertip()) > 0.02
    assert not task.tracker(episode.goal).update(simulator).success
    assert task.focus(simulator, episode.goal).progress == 0


def test_episodes_repeat_and_say_what_they_mean(task):
    assert task.sample(7) == task.sample(7)
    assert task.sample(7) != task.sample(8)
    for seed in range(20):
        episode = task.sample(seed)
        assert task.meaning(episode.scene, episode.instruction) == episode.goal
        assert episode.instruction in task.corpus()


def test_instruction_about_an_absent_object_is_refused(task):
    episode = task.sample(0)
    absent = ({"red", "green", "blue", "yellow"} - {o.color for o in episode.scene.objects}).pop()
    with pytest.raises(InputError, match="expected e.g. one of"):
        task.meaning(episode.scene, f"touch the {absent} cube")
    with pytest.raises(InputError, match="got ''"):
        task.meaning(episode.scene, "")


def test_the_first_scenes_are_those_that_published_scores_are_about():
    """The shipped bundle was measured on these; a changed draw would make its score about something else."""
    episode = Reach().sample(1000)
    assert (episode.instruction, episode.goal) == (FIRST_INSTRUCTION, FIRST_GOAL)
    assert [o.words for o in episode.scene.objects] == FIRST_WORDS
    assert [round(v, 9) for o in episode.scene.objects for v in (o.x, o.y, o.yaw)] == FIRST_PLACES
    assert Reach().corpus()[:2] == ["touch the red cube", "touch the green cube"]
    assert len(Reach().corpus()) == 12


def test_unknown_tasks_and_splits_list_the_known_ones():
    with pytest.raises(ConfigError, match=r"got 'juggle', expected one of \[.*'reach'.*\]"):
        make_task("juggle")
    with pytest.raises(ConfigError, match=r"got 'best', expected one of \['train', 'phrases', 'pairs'\]"):
        Reach().sample(0, "best")
    with pytest.raises(ConfigError, match="without held-out pairs"):
        Reach().sample(0, "pairs")
    with pytest.raises(ConfigError, match="without held-out phrasings"):
        Reach().sample(0, "phrases")


def test_point_out_of_reach_is_refused_with_the_miss(robot):
    (ik,) = arm_iks(robot)
    with pytest.raises(InputError, match="came within"):
        ik.solve(np.array([0.6, 0.0, 0.1]), robot.home)
    with pytest.raises(InputError, match="mm"):
        ik.solve(np.array([0.2, 0.0, -0.3]), robot.home)
