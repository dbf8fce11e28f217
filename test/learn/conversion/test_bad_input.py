"""What cannot be converted is refused with a reason, and leaves nothing behind."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from conversion_world import FLOATS, MAPPING, ROBOT, START, S, World, floats, image, joints, pose

from so_arm_policy.cli import main
from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.evaluate.bags.writer import BagWriter
from so_arm_policy.learn.conversion.mapping import JointTopic, load_mapping
from so_arm_policy.learn.conversion.to_bag import convert_dataset
from so_arm_policy.learn.conversion.to_dataset import convert_bags
from so_arm_policy.learn.datasets.reader import read_dataset

SHIPPED = sorted(Path(__file__).parents[3].glob("config/conversion/*.yaml"))
DATASETS = Path(__file__).parents[1] / "datasets"


def refused(bag, tmp_path, match, mapping=MAPPING, error=InputError):
    out = tmp_path / "made/data"
    with pytest.raises(error, match=match):
        convert_bags([bag], mapping, out)
    assert not out.exists()
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_mapping_fits_its_robot(path):
    mapping = load_mapping(path.stem)
    assert sorted(mapping.bag_names(mapping.described())) == sorted(set(mapping.bag_names(mapping.described())))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m.update(speed=3), "unknown key 'speed'"),
        (lambda m: m["state"].update(unit="rad"), "unknown key 'unit'"),
        (lambda m: m["state"].update(units="grad"), r"units: got 'grad', expected one of \['degrees'"),
        (lambda m: m.update(units="percent"), "units: got 'percent'"),
        (lambda m: m.update(clock="mine"), "clock: got 'mine'"),
        (lambda m: m.update(fps=0), "fps: got 0"),
        (lambda m: m.update(fps=29.97), "expected int"),
        (lambda m: m.update(shortest_s=float("nan")), "shortest_s: got nan"),
        (lambda m: m["action"].update(max_age_s=float("nan")), "max_age_s nan"),
        (lambda m: m["action"].update(topic="joint_states"), r"got \['joint_states'\] for two things"),
        (lambda m: m["cameras"]["wrist"].update(size=[0, 4]), r"got size \(0, 4\)"),
        (lambda m: m.pop("state"), "missing key 'state'"),
        (lambda m: m.update(joints={"a": "elbow"}), "alias 'a' -> 'elbow'"),
        (lambda m: m.update(joints={"a": "gripper", "b": "gripper"}), r"got \['gripper'\] twice"),
        (lambda m: m["action"].update(order=["gripper"]), "expected each of"),
        (lambda m: m.update(robot="so999"), "so999"),
    ],
)
def test_a_mapping_with_a_mistake_is_refused(tmp_path, change, said):
    given = yaml.safe_load(next(p for p in SHIPPED if p.stem == "so_arm").read_text())
    change(given)
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(given))
    with pytest.raises(ConfigError, match=said):
        load_mapping(str(path)).described()


def test_a_mapping_runs_no_code(tmp_path):
    path = tmp_path / "evil.yaml"
    path.write_text(f"robot: !!python/object/apply:os.mkdir [{tmp_path}/made]\n")
    with pytest.raises(ConfigError, match="readable YAML"):
        load_mapping(str(path))
    assert not (tmp_path / "made").exists()


def test_a_truncated_bag_without_index_gives_what_is_left(tmp_path):
    folder = World(seconds=14.0).write(tmp_path / "bag")  # of three chunks
    (folder / "metadata.yaml").unlink()
    path = folder / "bag_0.mcap"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 6 // 10])
    (plan,) = convert_bags([folder], MAPPING, tmp_path / "data")
    assert sum(plan.damage.values()) >= 1
    dataset = read_dataset(tmp_path / "data", ROBOT)
    assert 30 <= len(dataset.q) < 300
    assert len(dataset.pictures(0, [len(dataset.q) - 1], "wrist")) == 1


def test_damage_in_the_middle_costs_its_part_only(tmp_path):
    folder = World(seconds=14.0).write(tmp_path / "bag")
    path = folder / "bag_0.mcap"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    (plan,) = convert_bags([folder], MAPPING, tmp_path / "data")
    assert any("a chunk passed over" in reason for reason in plan.damage)
    dataset = read_dataset(tmp_path / "data", ROBOT)
    assert len(dataset) >= 1
    assert len(dataset.q) < 14 * 30


def test_empty_bags_and_what_is_no_bag_are_refused(tmp_path):
    BagWriter(tmp_path / "empty").close()
    refused(tmp_path / "empty", tmp_path, r"got no topics, expected state \(/joint_states\), action")
    (tmp_path / "none").mkdir()
    refused(tmp_path / "none", tmp_path, r"got no .mcap or .db3 file")
    (tmp_path / "x.mcap").write_bytes(b"\x80\x04cos\nsystem\n.")
    refused(tmp_path / "x.mcap", tmp_path, "expected an MCAP file")
    refused(tmp_path / "gone", tmp_path, "no such file")


def test_topics_that_lack_are_named_beside_those_there_are(tmp_path):
    world = World(seconds=1.5)
    for topic in ("/joint_command", "/wrist/image_raw"):
        world.drop(topic)
        del world.kinds[topic]
    said = r"got \['/instruction', '/joint_states', '/overhead/image_raw'\], expected action \(/joint_command\), camera"
    refused(world.write(tmp_path / "bag"), tmp_path, said)


def test_a_bag_without_words_says_how_to_give_them(tmp_path):
    world = World(seconds=1.5)
    world.drop("/instruction")
    refused(world.write(tmp_path / "bag"), tmp_path, r"no instruction.*--instruction")


def test_missing_joints_and_wrong_types_are_named(tmp_path):
    refused(
        World(seconds=1.5, names=["a", "b", "c", "d", "e", "gripper"]).write(tmp_path / "bag"),
        tmp_path,
        r"no message of state, action that can be used.*expected \['shoulder_pan'",
    )
    world = World(seconds=1.5)
    world.drop("/joint_command")
    world.say(0.5, "/joint_command", floats(ROBOT.home), FLOATS)
    refused(
        world.write(tmp_path / "floats"), tmp_path, "std_msgs/msg/Float64MultiArray, expected sensor_msgs/msg/Joint"
    )


def test_a_joint_that_is_no_number_for_a_moment_costs_that_message_only(tmp_path):
    world = World(seconds=2.0)
    for topic in ("/joint_states", "/joint_command"):
        world.drop(topic, 1.0, 1.01)
        world.say(1.0, topic, joints(world.at(1.0), np.full(6, np.nan)))
    (plan,) = convert_bags([world.write(tmp_path / "bag")], MAPPING, tmp_path / "data")
    assert sum(plan.skipped.values()) == 2
    assert read_dataset(tmp_path / "data", ROBOT).lengths.tolist() == [60]


def test_values_in_other_units_than_said_are_refused(tmp_path):
    degrees = replace(MAPPING, state=JointTopic(topic="joint_states", units="degrees"))
    bag = World(seconds=1.5).write(tmp_path / "bag")
    refused(bag, tmp_path, r"state \(joint_states\): got every value within .*they fit radians", mapping=degrees)


def test_a_camera_that_changes_its_size_is_refused_or_resized(tmp_path):
    world = World(seconds=2.0)
    world.drop("/wrist/image_raw", 1.0)
    world.said += [(START + (30 + i) * S // 30, "/wrist/image_raw", image(START, 50, (48, 64))) for i in range(30)]
    bag = world.write(tmp_path / "bag")
    refused(bag, tmp_path, "camera wrist: got a picture of 64x48, expected 32x24 as its first; set its `size`")
    sized = dict(MAPPING.cameras) | {"wrist": replace(MAPPING.cameras["wrist"], size=(24, 32))}
    convert_bags([bag], replace(MAPPING, cameras=sized), tmp_path / "data")
    other = World(seconds=2.0, sizes=((24, 32), (48, 64))).write(tmp_path / "other")
    first = World(seconds=2.0).write(tmp_path / "first")
    with pytest.raises(InputError, match=r"other: got pictures of 64x48 from camera 'wrist', expected 32x24 as in"):
        convert_bags([first, other], MAPPING, tmp_path / "both")
    assert not (tmp_path / "both").exists()


def test_stamps_of_another_clock_are_not_taken(tmp_path):
    world = World(seconds=1.5)
    world.drop("/joint_states")
    for i in range(150):
        said = joints(world.at(i / 100), pose(world.at(i / 100)), stamp_ns=5 * S)
        world.say(i / 100, "/joint_states", said)
    stamped = replace(MAPPING, clock="stamped")
    refused(world.write(tmp_path / "bag"), tmp_path, "no message of state.*more than 1 s from its arrival", stamped)


def test_a_dataset_of_another_version_and_folders_that_exist_are_refused(tmp_path, capsys):
    old = shutil.copytree(DATASETS / "lerobot_video", tmp_path / "old")
    info = old / "meta/info.json"
    info.write_text(json.dumps(json.loads(info.read_text()) | {"codebase_version": "v2.1"}))
    assert main(["convert", str(old), "--to", "bag", "--out", str(tmp_path / "bags")]) == 2
    assert "got codebase_version 'v2.1', expected 'v3.0'" in capsys.readouterr().err
    assert not (tmp_path / "bags").exists()
    bag = World(seconds=1.5).write(tmp_path / "bag")
    with pytest.raises(ConfigError, match="a name that exists"):
        convert_bags([bag], MAPPING, old)
    with pytest.raises(ConfigError, match="a name that exists"):
        convert_dataset(DATASETS / "lerobot_video", replace(MAPPING, cameras={}), old)
    assert info.exists()


@pytest.mark.parametrize("limit", [1_000, 20_000])
def test_a_full_disk_leaves_nothing_that_looks_whole(tmp_path, limit):
    """A limit on the size of files stands in for a full disk, as in test_killed_writing."""
    World(seconds=3.0).write(tmp_path / "bag")
    convert_bags([tmp_path / "bag"], MAPPING, tmp_path / "data")
    for source, kind in (("bag", "lerobot"), ("data", "bag")):
        code = (
            "import resource, signal, sys\n"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
            "from so_arm_policy.cli import main\n"
            f"sys.exit(main(['convert', {str(tmp_path / source)!r}, '--to', {kind!r}, '--out', 'out']))"
        )
        environment = {"PYTHONPATH": str(Path(__file__).parents[3]), "PYTHONDONTWRITEBYTECODE": "1"}
        run = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env=environment
        )
        assert run.returncode == 2, run.stderr
        assert "File too large" in run.stderr
        assert sorted(p.name for p in tmp_path.iterdir()) == ["bag", "data"]
