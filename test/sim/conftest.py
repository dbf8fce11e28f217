import pytest

from so_arm_policy.robot.description import load_robot
from so_arm_policy.sim.scene import random_scene
from so_arm_policy.sim.simulator import Simulator


@pytest.fixture(scope="session")
def robot():
    return load_robot("so101")


@pytest.fixture(scope="session")
def simulator(robot):
    return Simulator(robot, random_scene(0))
