import shutil
import sys
from pathlib import Path

import pytest

from so_arm_policy.robot.description import load_robot

# pytest's importlib mode leaves helper modules beside the tests unfound.
sys.path.insert(0, str(Path(__file__).parent))

from dataset_world import records, write  # noqa: E402


@pytest.fixture(scope="session")
def robot():
    return load_robot("so101")


@pytest.fixture(scope="session")
def unspoilt(tmp_path_factory, robot):
    episodes = records(robot, 3)
    return write(tmp_path_factory.mktemp("unspoilt"), robot, [episodes[:2], episodes[2:]])


@pytest.fixture
def dataset(tmp_path, unspoilt):
    """The folder of a small finished dataset, one's own: two shards of two and one episodes."""
    return shutil.copytree(unspoilt, tmp_path / "dataset")
