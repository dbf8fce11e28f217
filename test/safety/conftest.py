"""Robots and a supervisor with time under control."""

import sys
from pathlib import Path

import pytest

from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.robot.description import load_robot

# pytest's importlib mode leaves helper modules beside the tests unfound.
sys.path.insert(0, str(Path(__file__).parent))

from safety_world import World  # noqa: E402

ROBOTS = {name: load_robot(name) for name in ("so101", "so101_bimanual")}  # frozen, and slow to read


@pytest.fixture(params=list(ROBOTS))
def robot(request: pytest.FixtureRequest) -> RobotConfig:
    return ROBOTS[request.param]


@pytest.fixture
def world(robot: RobotConfig) -> World:
    return World(robot)
