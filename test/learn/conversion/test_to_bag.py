"""A dataset as bags, and back again: nothing is lost; and bags of others by their mapping."""

from dataclasses import replace

import numpy as np
import pytest
from conversion_world import AHEAD, ASK, MAPPING, ROBOT, SPEED, World, floats, joints, level, pose
from tiny_bundle import REACH_CORPUS, write_tiny_bundle

from so_arm_policy.cli import main
from so_arm_policy.core.errors import InputError
from so_arm_policy.evaluate.bags.images import IMAGE
from so_arm_policy.evaluate.bags.reader import Bag
from so_arm_policy.learn.conversion.mapping import FLOATS, JOINT_STATE, CameraTopic, JointTopic, Words, load_mapping
from so_arm_policy.learn.conversion.to_bag import convert_dataset
from so_arm_policy.learn.conversion.to_dataset import bags_in, convert_bags
from so_arm_policy.learn.datasets.index import finish
from so_arm_policy.learn.datasets.reader import read_dataset
from so_arm_policy.learn.datasets.units import Units
from so_arm_policy.learn.datasets.writer import DatasetWriter, EpisodeRecord

TASKS = ("put the red cube in the bowl", "put the blue can on the plate", "put the blue can on the plate")
FOREIGN = load_mapping("ros_physical_ai")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Three episodes of unequal length, two of the same task, of any joints within the limits."""
    folder = tmp_path_factory.mktemp("source")
    random = np.random.default_rng(0)
    records = []
    for number, rows in enumerate((40, 31, 35)):
        q, action = (random.uniform(ROBOT.lower, ROBOT.upper, (rows, 6)) for _ in range(2))
        grey = np.array([level(row) for row in range(rows)], dtype=np.uint8)[:, None, None, None]
        pictures = {
            "overhead": np.tile(grey, (1, 24, 32, 3)),
            "wrist": np.tile(grey[::-1], (1, 16, 24, 3)),
            "front": np.tile(grey, (1, 16, 16, 3)),
        }
        records.append(EpisodeRecord(task=TASKS[number], q=q, action=action, pictures=pictures))
    DatasetWriter(folder=folder, robot=ROBOT, fps=30).write_shard(0, records)
    finish(folder)
    return folder


def foreign(robot_names):
    """The mapping of ros-physical-ai for the cameras of `source`."""
    cameras = {name: CameraTopic(topic=f"/{name}_camera/image_raw") for name in ("overhead", "wrist")}
    return replace(FOREIGN, cameras=cameras)


MAPPINGS = {
    "ours": MAPPING,
    "ros_physical_ai": foreign(ROBOT.joint_names),
    "degrees": replace(
        MAPPING, state=JointTopic(topic="q", units="degrees"), action=JointTopic(topic="a", units="normalized")
    ),
}


@pytest.mark.parametrize("name", MAPPINGS)
def test_there_and_back_keeps_states_actions_stamps_and_tasks_to_the_bit(source, tmp_path, name):
    mapping = MAPPINGS[name]
    made, left_out = convert_dataset(source, mapping, tmp_path / "bags")
    assert [bag.frames for bag in made] == [40, 31, 35]
    assert left_out == ["front"]
    plans = convert_bags(bags_in([tmp_path / "bags"]), mapping, tmp_path / "data")
    assert not any(plan.tally.refused or plan.skipped or plan.damage for plan in plans)
    before, after = read_dataset(source, ROBOT), read_dataset(tmp_path / "data", ROBOT)
    assert after.instructions == TASKS
    assert after.lengths.tolist() == [40, 31, 35]
    for column in ("observation.state", "action", "timestamp", "frame_index", "episode_index"):
        got, expected = after.column(column), before.column(column)
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(got, expected, err_msg=column)
    for camera in ("overhead", "wrist"):
        pictures = [data.pictures(1, range(31), camera).astype(int) for data in (before, after)]
        assert np.abs(pictures[0] - pictures[1]).max() <= 2  # encoded twice


def test_the_bags_have_the_names_and_units_of_the_mapping(source, tmp_path):
    convert_dataset(source, foreign(()), tmp_path / "bags")
    bag, before = Bag(tmp_path / "bags/episode_000001"), read_dataset(source, ROBOT)
    assert bag.kinds["/forward_position_controller/commands"] == FLOATS
    assert bag.custom["lerobot.operator_prompt"] == TASKS[1]
    records = list(bag.records())
    state = next(r for r in records if r.kind == JOINT_STATE).message()
    assert state.name == list(FOREIGN.joints)
    row = before.rows(1).start
    np.testing.assert_allclose(state.position, before.q[row], atol=1e-9)
    command = next(r for r in records if r.kind == FLOATS).message()
    np.testing.assert_allclose(command.data, before.action[row], atol=1e-9)


def test_the_mapping_says_in_which_units_a_dataset_is_that_does_not(tmp_path):
    q = np.linspace(0.9 * ROBOT.lower, 0.9 * ROBOT.upper, 20)
    writer = DatasetWriter(folder=tmp_path / "theirs", robot=ROBOT, fps=30, units=Units.NORMALIZED)
    writer.write_shard(0, [EpisodeRecord(task="wave", q=q, action=q)])
    finish(tmp_path / "theirs")
    (tmp_path / "theirs/meta/so_arm_policy.json").unlink()
    convert_dataset(tmp_path / "theirs", replace(MAPPING, units="normalized", cameras={}), tmp_path / "bags")
    records = Bag(tmp_path / "bags/episode_000000").records(lambda topic: topic == "/joint_states")
    np.testing.assert_allclose([record.message().position for record in records], q, atol=1e-6)


def test_what_went_there_and_back_plays_in_evaluate_bag(tmp_path, capsys):
    World(seconds=2.0, sizes=((120, 160), (120, 160))).write(tmp_path / "bag")
    convert_bags([tmp_path / "bag"], MAPPING, tmp_path / "data")
    convert_dataset(tmp_path / "data", MAPPING, tmp_path / "bags")
    write_tiny_bundle(tmp_path / "tiny", ROBOT, REACH_CORPUS)
    again = str(tmp_path / "bags/episode_000000")
    assert main(["evaluate-bag", again, "--bundle", str(tmp_path / "tiny")]) == 0
    said = capsys.readouterr().out
    assert "mode: timed" in said
    assert "predicted against recorded actions" in said
    assert "skipped" not in said
    assert "PASS" in said


def test_a_bag_of_ros_physical_ai_becomes_degrees_in_our_order(tmp_path):
    names = list(FOREIGN.joints)
    shuffled = [names[i] for i in (5, 2, 0, 4, 1, 3)]
    world = World(seconds=2.0)
    for topic in list(world.kinds):
        world.drop(topic)
    world.kinds = {}
    for i in range(200):
        q = pose(world.at(i / 100))
        values = [q[ROBOT.joint_names.index(FOREIGN.joints[name])] for name in shuffled]
        world.say(i / 100, "/joint_states", joints(world.at(i / 100), values, shuffled), JOINT_STATE)
        world.say(i / 100, "/forward_position_controller/commands", floats(q + AHEAD), FLOATS)
    template = World(seconds=2.0).said
    for camera, ours in (("/static_camera/image_raw", "/overhead/image_raw"), ("/wrist_camera/image_raw", None)):
        topic = ours or "/wrist/image_raw"
        world.kinds[camera] = IMAGE
        world.said += [(at_ns, camera, data) for at_ns, said, data in template if said == topic]
    world.custom = {"lerobot.operator_prompt": ASK}
    convert_bags([world.write(tmp_path / "bag")], FOREIGN, tmp_path / "data")
    dataset = read_dataset(tmp_path / "data", ROBOT)
    assert dataset.cameras == ("static", "wrist")
    assert dataset.instructions == (ASK,)
    assert dataset.units is Units.DEGREES
    newest_s = np.floor(np.arange(60) / 30 * 100 + 1e-6) / 100
    np.testing.assert_allclose(dataset.q, ROBOT.home + SPEED * newest_s[:, None], atol=1e-6)
    np.testing.assert_allclose(dataset.action, dataset.q + AHEAD, atol=1e-6)


def test_a_dataset_that_lacks_a_camera_is_refused_by_name(source, tmp_path):
    mapping = replace(MAPPING, cameras={"tail": CameraTopic(topic="tail/image_raw")})
    with pytest.raises(InputError, match=r"got cameras \['overhead', 'wrist', 'front'\], expected \['tail'\] too"):
        convert_dataset(source, mapping, tmp_path / "bags")
    with pytest.raises(Exception, match="neither topic nor keys"):
        convert_dataset(source, replace(MAPPING, instruction=Words()), tmp_path / "bags")
    assert list(tmp_path.iterdir()) == []
