"""A tiny bundle that reads the instructions of reach, and the parts of a rollout."""

import sys
from pathlib import Path

import pytest

from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.policy.bundle import Bundle, load_bundle
from so_arm_policy.robot.description import load_robot
from so_arm_policy.sim.tasks import make_task
from so_arm_policy.sim.tasks.task import Task

# pytest's importlib mode leaves helper modules beside the tests unfound.
sys.path.insert(0, str(Path(__file__).parents[1] / "policy"))

from tiny_bundle import REACH_CORPUS, write_tiny_bundle  # noqa: E402


@pytest.fixture(scope="session")
def robot() -> RobotConfig:
    return load_robot("so101")


@pytest.fixture(scope="session")
def task() -> Task:
    return make_task("reach")


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory, robot: RobotConfig) -> Bundle:
    """A bundle that reads, looks and moves, but never learnt anything."""
    folder = tmp_path_factory.mktemp("bundles") / "tiny"
    write_tiny_bundle(folder, robot, REACH_CORPUS)
    return load_bundle(folder, robot)
