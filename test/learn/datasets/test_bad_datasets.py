import json
import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dataset_world import change_column, change_info, frames, record, records, write

from so_arm_policy.core.errors import InputError
from so_arm_policy.learn.datasets.index import finish
from so_arm_policy.learn.datasets.reader import read_dataset
from so_arm_policy.learn.datasets.units import Units, lerobot_names
from so_arm_policy.learn.datasets.writer import DatasetWriter
from so_arm_policy.robot.description import load_robot

DATA = "data/chunk-000/file-000.parquet"
EPISODES = "meta/episodes/chunk-000/file-000.parquet"
VIDEO = "videos/observation.images.wrist/chunk-000/file-001.mp4"


def features(folder):
    return json.loads((folder / "meta/info.json").read_text())["features"]


def refused(folder, robot, says, units=None):
    with pytest.raises(InputError, match=says) as caught:
        read_dataset(folder, robot, units)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["action", "observation.state", "task_index"])
def test_a_missing_column(dataset, robot, name):
    change_column(dataset / DATA, name, None)
    refused(dataset, robot, rf"file-000.parquet: got columns \[.*\], expected \['{name}'\] too")


def test_a_column_that_info_does_not_list(dataset, robot):
    change_info(dataset, features={k: v for k, v in features(dataset).items() if k != "action"})
    refused(dataset, robot, r"info.json: got columns \[.*\], expected \['action'\] too")


def test_radians_where_degrees_are_due_and_the_other_way_round(tmp_path, robot):
    radians = write(tmp_path / "radians", robot, [records(robot, 2)], units=Units.RADIANS)
    refused(
        radians, robot, "observation.state: got every value within -.*, expected degrees .* fit radians", Units.DEGREES
    )
    degrees = write(tmp_path / "degrees", robot, [records(robot, 2)])
    refused(
        degrees,
        robot,
        "observation.state: got shoulder_pan within -5.779.*, expected radians .* fit degrees",
        Units.RADIANS,
    )
    (degrees / "meta/so_arm_policy.json").write_text('{"units": "turns"}')
    refused(degrees, robot, r"so_arm_policy.json: got units 'turns', expected one of \['degrees'")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_value_that_is_not_finite(dataset, robot, bad):
    def spoil(values):
        values[7, 2] = bad
        return values.astype(np.float32)

    change_column(dataset / DATA, "action", spoil)
    refused(dataset, robot, f"action: got {bad} in row 7, column 2, expected finite numbers")


def test_an_episode_of_one_row(dataset, robot):
    change_column(dataset / EPISODES, "dataset_to_index", lambda ends: np.array([40, 41]))
    change_column(dataset / EPISODES, "dataset_from_index", lambda starts: np.array([0, 40]))
    refused(dataset, robot, "got 1 row in episode 1, expected at least 2")


def test_cameras_of_unequal_size_are_not_stacked(tmp_path, robot):
    pictures = {"overhead": frames(0, 20), "wrist": frames(0, 20, height=48, width=64)}
    read = read_dataset(write(tmp_path, robot, [[record(robot, pictures=pictures)]]), robot)
    with pytest.raises(
        InputError, match=r"\{'overhead': \(24, 32\), 'wrist': \(48, 64\)\}, expected equal ones, or size="
    ):
        read.all_pictures(0, [0])
    assert read.all_pictures(0, [0], size=(24, 32)).shape == (1, 2, 24, 32, 3)


def test_a_camera_whose_size_changes_between_episodes(tmp_path, robot):
    other = record(robot, 1, pictures={"overhead": frames(0, 20), "wrist": frames(0, 20, height=48, width=64)})
    writer = DatasetWriter(folder=tmp_path, robot=robot, fps=30)
    with pytest.raises(
        InputError, match=r"episode 1 .*images.wrist' video \(48, 64, 3\), expected video \(24, 32, 3\)"
    ):
        writer.write_shard(0, [record(robot), other])
    writer.write_shard(0, [record(robot)])
    writer.write_shard(1, [other])
    with pytest.raises(InputError, match="file-001.parquet: got column 'observation.images.wrist'"):
        finish(tmp_path)


def test_a_video_of_another_size_than_info_says(dataset, robot):
    changed = features(dataset)
    changed["observation.images.wrist"]["shape"] = [48, 64, 3]
    change_info(dataset, features=changed)
    refused(dataset, robot, "mp4: got pictures of 32x24, expected 64x48 as in meta/info.json")


def test_a_truncated_video(dataset, robot):
    path = dataset / VIDEO
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refused(dataset, robot, "file-001.mp4: got .*, expected a whole video")


def test_a_video_with_too_few_pictures(dataset, robot):
    (dataset / VIDEO).write_bytes((dataset / VIDEO.replace("001", "000")).read_bytes())
    change_column(
        dataset / EPISODES.replace("000.p", "001.p"),
        "videos/observation.images.wrist/from_timestamp",
        lambda _: np.array([1.0]),
    )
    refused(dataset, robot, "file-001.mp4: got 41 pictures, expected 52: truncated?")


def test_a_video_spoilt_in_the_middle(dataset, robot):
    path = dataset / VIDEO
    content = bytearray(path.read_bytes())
    begin = content.index(b"mdat") + 4
    end = content.index(b"moov")
    content[begin + (end - begin) // 3 : end - 8] = bytes(end - 8 - begin - (end - begin) // 3)
    path.write_bytes(content)
    read = read_dataset(dataset, robot)
    with pytest.raises(InputError, match=r"file-001.mp4: got .*, expected a picture: truncated\?"):
        read.pictures(2, range(22), "wrist")


def test_a_missing_video(dataset, robot):
    (dataset / VIDEO).unlink()
    refused(dataset, robot, "file-001.mp4: got .*No such file.*, expected a whole video")


def test_unknown_joints(dataset, robot):
    changed = features(dataset)
    changed["action"]["names"] = [f"main_{name}" for name in lerobot_names(robot)]
    change_info(dataset, features=changed)
    refused(dataset, robot, r"action: got unknown joints \['main_shoulder_pan.pos'.*expected those of so101")
    refused(dataset, load_robot("so101_bimanual"), "got unknown joints .* of so101_bimanual")


@pytest.mark.parametrize("version", ["v2.1", "v4.0", "3"])
def test_another_version(dataset, robot, version):
    change_info(dataset, codebase_version=version)
    refused(dataset, robot, f"info.json: got codebase_version '{version}', expected 'v3.0'")


@pytest.mark.parametrize("name", [DATA, EPISODES, "meta/tasks.parquet"])
@pytest.mark.parametrize("how", ["cut", "noise", "absent"])
def test_a_corrupt_parquet_file(dataset, robot, name, how):
    path = dataset / name
    content = path.read_bytes()
    if how == "absent":
        path.unlink()
        refused(dataset, robot, "expected")
        return
    path.write_bytes(content[:-20] if how == "cut" else bytes(reversed(content)))
    refused(dataset, robot, f"{path.name}: got .*, expected a whole parquet file")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "expected a readable JSON file"),
        ("[]", "got list, expected a JSON object"),
        ("{}", "missing key"),
        ('{"codebase_version": "v3.0", "fps": "30"}', "missing key|got '30', expected float"),
    ],
)
def test_an_info_that_is_none(dataset, robot, content, says):
    (dataset / "meta/info.json").write_text(content)
    refused(dataset, robot, says)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"fps": 0}, "expected at least one of each"),
        ({"total_frames": 64}, "expected 3 that follow each other up to row 64"),
        ({"data_path": "../{chunk_index}/{file_index}"}, "expected one within the dataset"),
        ({"video_path": "/etc/{file_index}"}, "expected one within the dataset"),
        ({"data_path": "{nonsense}"}, "expected one with chunk_index"),
        ({"video_path": None}, "got video columns but no video_path"),
        ({"features": {"action": {"dtype": "float32", "shape": [0]}}}, "expected positive sizes"),
    ],
)
def test_an_info_that_cannot_be(dataset, robot, changes, says):
    change_info(dataset, **changes)
    refused(dataset, robot, says)


def test_rows_that_are_numbered_otherwise(dataset, robot):
    change_column(dataset / DATA, "index", lambda index: index[::-1])
    refused(dataset, robot, "got another index from row 0, expected as in meta/episodes")


def test_time_that_stands_still(dataset, robot):
    change_column(dataset / DATA, "timestamp", lambda time: (0 * time).astype(np.float32))
    refused(dataset, robot, "got timestamps that do not rise")


def test_a_task_that_is_not_listed(dataset, robot):
    change_column(dataset / DATA, "task_index", lambda index: index + 5)
    refused(dataset, robot, r"got task_index 0..6, expected 0..1 of meta/tasks.parquet")


def test_rows_of_unequal_length(dataset, robot):
    table = pq.read_table(dataset / DATA)
    rows = table["action"].to_pylist()
    rows[3] = rows[3][:5]
    changed = table.set_column(table.schema.get_field_index("action"), "action", pa.array(rows, pa.list_(pa.float32())))
    pq.write_table(changed, dataset / DATA)
    refused(dataset, robot, r"got rows of 'action' with sizes \[5, 6\], expected \[6\]")


class Trap:
    sprung = False

    def __reduce__(self):
        return (setattr, (Trap, "sprung", True))


def test_nothing_is_ever_unpickled(dataset, robot):
    """A column type that older Arrow versions would have unpickled stays plain numbers."""
    table = pq.read_table(dataset / DATA)
    marks = {b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": pickle.dumps(Trap())}
    place = table.schema.get_field_index("frame_index")
    table = table.set_column(place, table.schema.field(place).with_metadata(marks), table["frame_index"])
    pq.write_table(table, dataset / DATA)
    read = read_dataset(dataset, robot)
    assert read.column("frame_index")[:3].tolist() == [0, 1, 2]
    assert not Trap.sprung


def test_episodes_rows_and_columns_that_are_not_there(dataset, robot):
    read = read_dataset(dataset, robot)
    with pytest.raises(InputError, match=r"got episode 3, expected 0\.\.2"):
        read.pictures(3, [0], "wrist")
    with pytest.raises(InputError, match=r"got rows \[20\] of episode 0, expected 0\.\.19"):
        read.pictures(0, [20], "wrist")
    with pytest.raises(InputError, match="got camera 'front', expected one of"):
        read.pictures(0, [0], "front")
    with pytest.raises(InputError, match="got column 'expert.mood', expected one of"):
        read.column("expert.mood")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"task": " "}, "expected a sentence"),
        ({"q": np.zeros((1, 6)), "action": np.zeros((1, 6))}, "T at least 2"),
        ({"action": np.zeros((20, 5))}, "the same"),
        ({"action": np.full((20, 6), np.nan)}, "'action' in row 0 that is not finite"),
        ({"extras": {"expert.x": np.zeros(19)}}, "expected numbers"),
        ({"extras": {"expert.x": np.array(["a"] * 20)}}, "expected numbers"),
        ({"extras": {"expert/x": np.zeros(20)}}, "expected no '/'"),
        ({"extras": {"action.x": np.zeros(20)}}, "expected another name"),
        ({"extras": {"index": np.zeros(20)}}, "expected another name"),
        ({"pictures": {"wrist": frames(0, 19)}}, "got 19 pictures of 'wrist', expected 20"),
        ({"pictures": {"wrist": frames(0, 20) / 255.0}}, "expected .* of uint8"),
        ({"picture_rows": np.array([1, 2])}, "expected ascending rows"),
    ],
)
def test_an_episode_that_could_not_be_read_back(robot, changes, says):
    with pytest.raises(InputError, match=says):
        record(robot, **changes)


def test_a_video_too_long_for_lerobot(tmp_path, robot):
    q = np.tile(robot.home, (1001, 1))
    writer = DatasetWriter(folder=tmp_path, robot=robot, fps=1)
    long = record(
        robot,
        rows=1001,
        q=q,
        action=q,
        extras={},
        pictures={"a": np.zeros((1, 2, 2, 3), np.uint8)},
        picture_rows=np.array([0]),
    )
    with pytest.raises(InputError, match="got 1001 s of video or more in one file, expected at most 1000 s"):
        writer.write_shard(0, [long])
    with pytest.raises(InputError, match="got no episodes"):
        writer.write_shard(0, [])
