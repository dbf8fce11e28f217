import numpy as np
import pytest

from so_arm_policy.control.ik import ArmIk
from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.sim.arm_model import arm_spec
from so_arm_policy.sim.expert import ACCELERATION, MAX_SPEED, TICK_S, advance, reach_goal
from so_arm_policy.sim.tasks import make_task
from so_arm_policy.sim.tasks.reach import surface_distance


@pytest.fixture(scope="module")
def task():
    return make_task("reach")


@pytest.fixture(scope="module")
def ik(robot):
    return ArmIk(arm_spec().compile(), robot)


def follow_expert(simulator, robot, goal, tracker, ticks=480):
    q, dq = simulator.q, np.zeros(6)
    for _ in range(ticks):
        before = dq
        q, dq = advance(q, dq, goal)
        assert np.abs(dq).max() <= MAX_SPEED + ACCELERATION * TICK_S
        assert np.abs(dq - before).max() <= ACCELERATION * TICK_S + 1e-9
        simulator.step(q)
        status = tracker.update(simulator)
        if status.success:
            return status
    return status


@pytest.mark.parametrize("seed", range(12))
def test_expert_reaches_every_cube_one_after_the_other(simulator, robot, task, ik, seed):
    episode = task.sample(seed)
    simulator.reset(episode.scene)
    for number, cube in enumerate(episode.scene.cubes):
        status = follow_expert(simulator, robot, reach_goal(ik, cube, robot.home), task.tracker(number))
        assert status.success
        assert status.held_s >= 0.5


def test_standing_still_or_at_another_cube_is_no_success(simulator, robot, task, ik):
    episode = task.sample(1)
    simulator.reset(episode.scene)
    tracker = task.tracker(episode.target)
    assert not any(tracker.update(simulator).success for _ in range(120))
    other = (episode.target + 1) % 3
    follow_expert(simulator, robot, reach_goal(ik, episode.scene.cubes[other], robot.home), task.tracker(other))
    assert surface_distance(simulator, episode.target) > 0.02
    assert not task.tracker(episode.target).update(simulator).success


def test_episodes_repeat_and_say_what_they_mean(task):
    assert task.sample(7) == task.sample(7)
    assert task.sample(7) != task.sample(8)
    for seed in range(20):
        episode = task.sample(seed)
        assert task.target(episode.scene, episode.instruction) == episode.target
        assert episode.instruction in task.corpus()


def test_instruction_about_an_absent_cube_is_refused(task):
    episode = task.sample(0)
    absent = ({"red", "green", "blue", "yellow"} - {c.color for c in episode.scene.cubes}).pop()
    with pytest.raises(InputError, match="expected e.g. one of"):
        task.target(episode.scene, f"touch the {absent} cube")
    with pytest.raises(InputError, match="got ''"):
        task.target(episode.scene, "")


def test_unknown_task_lists_the_known_ones():
    with pytest.raises(ConfigError, match=r"got 'juggle', expected one of \['reach'\]"):
        make_task("juggle")


def test_point_out_of_reach_is_refused_with_the_miss(robot, ik):
    with pytest.raises(InputError, match="came within"):
        ik.solve(np.array([0.6, 0.0, 0.1]), robot.home)
    with pytest.raises(InputError, match="mm"):
        ik.solve(np.array([0.2, 0.0, -0.3]), robot.home)
