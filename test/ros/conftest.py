"""Real rclpy on a domain of its own; nodes run in the test's process, or as processes."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.robot.description import load_robot
from so_arm_policy.ros.domain import own_domain

# pytest's importlib mode leaves helper modules beside the tests unfound.
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "policy")]

from black_box_world import BlackBoxWorld  # noqa: E402
from ros_world import Graph  # noqa: E402
from tiny_bundle import REACH_CORPUS, write_tiny_bundle  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def domain() -> Iterator[int]:
    """Keep this run's messages to itself."""
    with own_domain() as number:
        yield number


@pytest.fixture(scope="session", autouse=True)
def ros_home(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep black boxes out of the user's home."""
    os.environ["ROS_HOME"] = str(tmp_path_factory.mktemp("ros_home"))


@pytest.fixture(scope="session")
def robot() -> RobotConfig:
    """The shipped single arm."""
    return load_robot("so101")


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory, robot: RobotConfig) -> Path:
    """The folder of a bundle that runs and has learned nothing."""
    folder = tmp_path_factory.mktemp("bundles") / "tiny"
    write_tiny_bundle(folder, robot, REACH_CORPUS)
    return folder


@pytest.fixture
def graph(request: pytest.FixtureRequest) -> Iterator[Graph]:
    """A graph; parametrize it indirectly with ROS arguments."""
    made = Graph(*getattr(request, "param", ()))
    yield made
    made.close()


@pytest.fixture
def make_graph() -> Iterator[Callable[..., Graph]]:
    """Makes a graph of ROS arguments that only the test knows."""
    made: list[Graph] = []

    def make(*arguments: str) -> Graph:
        made.append(Graph(*arguments))
        return made[-1]

    yield make
    for graph in made:
        graph.close()


@pytest.fixture
def policy_graph(bundle: Path) -> Iterator[Graph]:
    """A graph whose nodes run the tiny bundle."""
    made = Graph("-p", f"bundle:={bundle}")
    yield made
    made.close()


@pytest.fixture
def make_boxed_world(tmp_path: Path) -> Iterator[Callable[..., BlackBoxWorld]]:
    """Makes supervisors with black boxes, by default in one folder, and sees that every box can be closed."""
    made = []

    def make(folder=tmp_path / "boxes", *args, **options):
        made.append(BlackBoxWorld(folder, *args, **options))
        return made[-1]

    yield make
    assert all(world.box.close(timeout_s=60) for world in made)
