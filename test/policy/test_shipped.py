"""Which shipped bundle is taken for a task."""

from pathlib import Path

import pytest
from tiny_bundle import tiny_manifest

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.policy.manifest import write_manifest
from so_arm_policy.policy.shipped import bundle_for


@pytest.fixture
def folder(tmp_path: Path, robot: RobotConfig) -> Path:
    """Manifests alone: nothing else is looked at."""
    for name, family, tasks in (
        ("reach_flow", "flow", ("reach",)),
        ("so101_flow", "flow", ("reach", "sort")),
        ("so101_act", "act", ("sort",)),
    ):
        (tmp_path / name).mkdir()
        write_manifest(tmp_path / name, tiny_manifest(robot, family=family, tasks=tasks))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "manifest.json").write_text("{")
    (tmp_path / "empty").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("task", "family", "name"),
    [("reach", "flow", "reach_flow"), ("sort", "flow", "so101_flow"), ("sort", "act", "so101_act")],
)
def test_the_one_of_that_name_else_one_that_promises_it(folder: Path, task: str, family: str, name: str) -> None:
    assert bundle_for(task, family, [folder]) == folder / name


def test_the_first_folder_goes_first(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    empty = tmp_path_factory.mktemp("none")
    assert bundle_for("reach", "flow", [empty, folder, folder]) == folder / "reach_flow"


def test_where_there_is_none_the_error_lists_what_there_is(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="none of family 'act' for task 'reach'") as error:
        bundle_for("reach", "act", [folder])
    assert "broken: not readable; reach_flow: flow for reach; so101_act: act for sort" in str(error.value)
    with pytest.raises(ConfigError, match="there is none at all"):
        bundle_for("reach", "flow", [tmp_path / "nowhere"])


def test_a_bundle_for_the_demo_of_the_first_page_is_shipped() -> None:
    assert bundle_for("reach", "flow").name == "reach_flow"
