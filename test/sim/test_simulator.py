import numpy as np
import pytest

from so_arm_policy.core.errors import ShapeError
from so_arm_policy.robot.description import load_robot
from so_arm_policy.sim.scene import random_scene
from so_arm_policy.sim.simulator import Simulator


def drive(simulator, seed, ticks=60):
    simulator.reset(random_scene(seed))
    rng = np.random.default_rng(seed)
    states = []
    for _ in range(ticks):
        simulator.step(simulator.robot.home + rng.normal(0.0, 0.02, 6))
        states.append(simulator.qpos)
    return np.array(states)


def test_same_seed_same_motion_to_the_bit(simulator):
    first = drive(simulator, 3)
    drive(simulator, 4)
    assert np.array_equal(first, drive(simulator, 3))
    assert np.array_equal(first, drive(Simulator(simulator.robot, random_scene(9)), 3))


def test_a_tick_is_one_of_120_in_a_second(simulator):
    simulator.reset(random_scene(0))
    for _ in range(120):
        simulator.step()
    assert simulator.time_ns == 1_000_000_000
    assert simulator.data.time == pytest.approx(1.0)


def test_arm_goes_to_the_command_and_holds_without_one(simulator):
    simulator.reset(random_scene(0))
    goal = simulator.robot.home + np.array([0.3, 0.1, -0.1, 0.1, 0.2, 0.3])
    for _ in range(120):
        simulator.step(goal)
    assert np.abs(simulator.q - goal).max() < 0.02
    before = simulator.q
    for _ in range(240):
        simulator.step()
    assert np.abs(simulator.q - before).max() < 0.005


def test_a_limp_arm_falls_and_is_caught_where_it_is_told_to_be(simulator):
    simulator.reset(random_scene(0))
    simulator.limp = True
    for _ in range(60):
        simulator.step()
    fallen = simulator.q
    assert np.abs(fallen - simulator.robot.home).max() > 0.2
    assert not simulator.motors(0, 0).torque_on.any()
    assert not simulator.motors(0, 0).load.any()
    simulator.limp = False
    for _ in range(60):
        simulator.step(fallen)
    assert simulator.motors(0, 0).torque_on.all()
    assert np.abs(simulator.q - fallen).max() < 0.1
    simulator.limp = True
    simulator.reset(random_scene(0))
    assert not simulator.limp


def test_cubes_come_to_rest_where_the_scene_says(simulator):
    scene = random_scene(5)
    simulator.reset(scene)
    for _ in range(120):
        simulator.step()
    for i, cube in enumerate(scene.objects):
        assert np.abs(simulator.object_position(i) - [cube.x, cube.y, 0.015]).max() < 2e-3
        assert np.allclose(simulator.object_rotation(i) @ simulator.object_rotation(i).T, np.eye(3))


@pytest.mark.parametrize("command", [np.zeros(5), np.full(6, np.nan), np.array([0, 0, 0, 0, 0, np.inf])])
def test_bad_command_is_refused_and_nothing_moves(simulator, command):
    simulator.reset(random_scene(0))
    before = simulator.qpos
    with pytest.raises(ShapeError, match="6 finite numbers"):
        simulator.step(command)
    assert np.array_equal(before, simulator.qpos)


def test_two_arms_move_each_for_itself():
    robot = load_robot("so101_bimanual")
    simulator = Simulator(robot, random_scene(1))
    goal = robot.home.copy()
    goal[robot.joint_names.index("right_shoulder_pan")] = 0.5
    for _ in range(120):
        simulator.step(goal)
    moved = np.abs(simulator.q - robot.home)
    assert moved[robot.joint_names.index("right_shoulder_pan")] > 0.48
    assert moved[: len(robot.joints) // 2].max() < 0.01
    assert simulator.fingertip(0)[1] > 0.1 > -0.1 > simulator.fingertip(1)[1]
