import math

import numpy as np
import pytest

from so_arm_policy.sim.expert import Expert
from so_arm_policy.sim.goal import Goal, Step
from so_arm_policy.sim.tasks.task import SPLITS
from so_arm_policy.sim.tasks.track import APART_M, CLOSE_M, Track


@pytest.fixture(scope="module")
def task():
    return Track()


@pytest.fixture(scope="module")
def demonstration(demonstrations, simulator, robot, task):
    return demonstrations(simulator, Expert(robot, task), task)


@pytest.mark.parametrize("seed", range(3))
def test_expert_stays_with_the_moving_object(demonstration, task, seed):
    status, _ = demonstration.run(task.sample(seed))
    assert status.success
    assert status.distance_m < CLOSE_M
    assert status.held_s >= 7.2


def test_staying_with_another_object_or_at_home_fails(demonstration, task):
    episode = task.sample(1)
    other = Goal((Step((episode.goal.steps[0].object + 1) % 3),))
    status, _ = demonstration.run(episode, told=other)
    assert not status.success
    assert status.distance_m > CLOSE_M
    simulator = demonstration.simulator
    simulator.reset(episode.scene)
    tracker = task.tracker(episode.goal)
    for _ in range(1201):
        assert not tracker.update(simulator).success
        simulator.step()


def test_the_object_is_where_its_path_says_whatever_it_meets(simulator, task):
    episode = task.sample(2)
    simulator.reset(episode.scene)
    number, motion = episode.scene.motion.object, episode.scene.motion
    assert number == episode.goal.steps[0].object
    for tick in range(240):
        simulator.step()
        place, velocity = motion.at((tick + 1) / 120)
        assert simulator.object_position(number)[:2] == pytest.approx(place, abs=1e-3)
        assert simulator.object_speed(number) == pytest.approx(math.hypot(*velocity), abs=0.02)
    assert np.array_equal(task.focus(simulator, episode.goal).source, simulator.object_position(number))


@pytest.mark.parametrize("split", SPLITS)
def test_paths_are_smooth_within_reach_clear_of_the_others_and_repeat(task, split):
    for seed in range(15):
        episode = task.sample(seed, split)
        assert episode == task.sample(seed, split)
        assert task.meaning(episode.scene, episode.instruction) == episode.goal
        motion = episode.scene.motion
        assert 0.04 <= motion.speed <= 0.06
        assert motion.tightest_m() >= 0.015
        radius = np.linalg.norm(motion.points, axis=1)
        assert radius.min() >= 0.15
        assert radius.max() <= 0.29
        for i, thing in enumerate(episode.scene.objects):
            if i != motion.object:
                assert np.linalg.norm(motion.points - [thing.x, thing.y], axis=1).min() >= APART_M - 1e-3
