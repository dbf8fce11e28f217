"""A tiny bundle for every test of the policy runtime."""

import sys
from pathlib import Path

import pytest

from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.policy.bundle import Bundle, load_bundle
from so_arm_policy.robot.description import load_robot

# pytest's importlib mode leaves helper modules beside the tests unfound.
sys.path.insert(0, str(Path(__file__).parent))

from tiny_bundle import write_tiny_bundle  # noqa: E402


@pytest.fixture(scope="session")
def robot() -> RobotConfig:
    """The shipped single arm."""
    return load_robot("so101")


@pytest.fixture(scope="session")
def shared_bundle(tmp_path_factory: pytest.TempPathFactory, robot: RobotConfig) -> Bundle:
    """A checked bundle that no test alters."""
    folder = tmp_path_factory.mktemp("bundles") / "tiny"
    write_tiny_bundle(folder, robot)
    return load_bundle(folder, robot)


@pytest.fixture
def folder(tmp_path: Path, robot: RobotConfig) -> Path:
    """A complete bundle folder that the test may damage."""
    write_tiny_bundle(tmp_path / "tiny", robot)
    return tmp_path / "tiny"
