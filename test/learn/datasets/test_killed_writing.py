import resource
import subprocess
import sys
from pathlib import Path

import pytest
from dataset_world import FPS, records, write

from so_arm_policy.core.errors import InputError
from so_arm_policy.learn.datasets.arrow_files import WriteError, write_whole
from so_arm_policy.learn.datasets.index import finish
from so_arm_policy.learn.datasets.reader import read_dataset
from so_arm_policy.learn.datasets.writer import DatasetWriter

HERE = Path(__file__).parent


PREPARED = f"""
import sys
sys.path.insert(0, {str(HERE)!r})
from pathlib import Path
from dataset_world import *
from so_arm_policy.robot.description import load_robot
"""


def run(code):
    command, root = [sys.executable, "-c", PREPARED + code], HERE.parents[2]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, timeout=120)


def test_a_killed_run_goes_on_after_the_last_whole_shard(tmp_path, robot):
    folder = tmp_path / "killed"
    code = f"kill_in_the_middle(load_robot('so101'), Path({str(folder)!r}))"
    assert run(code).returncode == -9
    writer = DatasetWriter(folder=folder, robot=robot, fps=FPS)
    assert writer.missing(2) == [1]
    with pytest.raises(InputError, match=r"got 1 whole shards, expected 2; look at \[1\]"):
        finish(folder, 2)
    with pytest.raises(InputError, match="expected a finished LeRobot v3 dataset"):
        read_dataset(folder, robot)
    episodes = records(robot, 4)
    for number in writer.missing(2):
        writer.write_shard(number, episodes[2:])
    finish(folder, 2)
    whole = write(tmp_path / "whole", robot, [episodes[:2], episodes[2:]])
    for path in (p for p in whole.rglob("*") if p.is_file()):
        assert (folder / path.relative_to(whole)).read_bytes() == path.read_bytes()


def test_rows_without_their_list_of_episodes_are_no_shard(tmp_path, robot):
    """Killed between its two last files; LeRobot would read such rows, so the dataset is not finished."""
    writer = DatasetWriter(folder=tmp_path, robot=robot, fps=FPS)
    writer.write_shard(0, records(robot, 1))
    writer.write_shard(1, records(robot, 1))
    (tmp_path / "meta/episodes/chunk-000/file-001.parquet").unlink()
    assert writer.missing(2) == [1]
    with pytest.raises(InputError, match=r"look at \[1\]"):
        finish(tmp_path)


def test_leftovers_of_killed_runs_are_cleared_away(tmp_path, robot):
    (tmp_path / "data/chunk-000").mkdir(parents=True)
    (tmp_path / "data/chunk-000/file-000.parquet.12345.partial").write_bytes(b"half")
    write(tmp_path, robot, [records(robot, 1)])
    assert list(tmp_path.rglob("*.partial")) == []


@pytest.mark.parametrize("limit", [1_000, 12_000])
def test_out_of_disk_is_one_error_and_leaves_nothing_half_written(tmp_path, limit):
    """A limit on the size of files stands in for a full disk: the write itself fails, at the first or a later file."""
    code = f"""
import resource
from so_arm_policy.learn.datasets.arrow_files import WriteError
robot = load_robot("so101")
episodes = records(robot, 2)
writer = DatasetWriter(folder=Path({str(tmp_path)!r}), robot=robot, fps=FPS)
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
try:
    writer.write_shard(0, episodes)
except WriteError as error:
    sys.exit(str(error))
"""
    result = run(code)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "got File too large, expected to write" in result.stderr
    assert list(tmp_path.rglob("*.partial")) == []
    assert list(tmp_path.glob("meta/episodes/*/*")) == []


def test_a_file_that_cannot_be_replaced_stays_as_it_was(tmp_path):
    path = tmp_path / "file"
    write_whole(path, b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4, hard))
    try:
        with pytest.raises(WriteError, match="File too large"):
            write_whole(path, b"new and longer")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
