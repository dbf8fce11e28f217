"""What frames show, where episodes end, and that every frame that is left out is counted."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from conversion_world import AHEAD, ASK, MAPPING, ROBOT, SPEED, START, S, World, image, joints, level, pose, text
from rosbags.rosbag2 import StoragePlugin, Writer

from so_arm_policy.cli import main
from so_arm_policy.evaluate.bags.types import known_types
from so_arm_policy.learn.conversion.mapping import CameraTopic
from so_arm_policy.learn.conversion.to_dataset import convert_bags
from so_arm_policy.learn.datasets.reader import read_dataset
from so_arm_policy.learn.datasets.units import Units


def converted(bags, tmp_path, mapping=MAPPING, **options):
    plans = convert_bags(bags if isinstance(bags, list) else [bags], mapping, tmp_path / "data", **options)
    return plans, read_dataset(tmp_path / "data", mapping.described())


def brightness(dataset, episode, camera="wrist"):
    return dataset.pictures(episode, range(dataset.lengths[episode]), camera).mean(axis=(1, 2, 3))


def test_each_frame_shows_the_newest_of_everything_at_or_before_it(tmp_path):
    (plan,), dataset = converted(World(seconds=4.0).write(tmp_path / "bag"), tmp_path)
    assert dataset.instructions == (ASK,)
    assert dataset.units is Units.DEGREES
    rows = np.arange(120)
    newest_s = np.floor(rows / 30 * 100 + 1e-6) / 100  # of the joints, said a hundred times a second
    np.testing.assert_allclose(dataset.q, ROBOT.home + SPEED * newest_s[:, None], atol=1e-6)
    np.testing.assert_allclose(dataset.action, dataset.q + AHEAD, atol=1e-6)
    np.testing.assert_allclose(dataset.timestamps, rows / 30, atol=1e-6)
    np.testing.assert_allclose(brightness(dataset, 0), [level(i) for i in rows], atol=2.0)
    assert plan.tally.kept == 120
    assert not plan.tally.refused
    origin = json.loads((tmp_path / "data/meta/bags.json").read_text())["episodes"]
    assert origin == [{"bag": "bag", "start_ns": START, "frames": 120}]


def test_lerobot_s_units_are_in_the_files(tmp_path):
    _, dataset = converted(World(seconds=2.0).write(tmp_path / "bag"), tmp_path)
    first = dataset.column("observation.state")[0]
    np.testing.assert_allclose(first[:5], np.degrees(ROBOT.home[:5]), atol=1e-4)
    share = (ROBOT.home[5] - ROBOT.lower[5]) / (ROBOT.upper[5] - ROBOT.lower[5])
    assert first[5] == pytest.approx(100 * share, abs=1e-4)


@pytest.mark.parametrize("packed", [False, True])
def test_raw_and_compressed_pictures_of_unequal_cameras_are_taken(tmp_path, packed):
    world = World(seconds=1.5, sizes=((24, 32), (16, 48)), packed=packed)
    _, dataset = converted(world.write(tmp_path / "bag"), tmp_path)
    assert dataset.pictures(0, [0], "overhead").shape == (1, 24, 32, 3)
    assert dataset.pictures(0, [0], "wrist").shape == (1, 16, 48, 3)


@pytest.mark.parametrize("plugin", list(StoragePlugin))
def test_bags_of_rosbag2_s_own_format_are_read_from_both_storages(tmp_path, plugin):
    world = World(seconds=2.0)
    with Writer(tmp_path / "bag", version=8, storage_plugin=plugin) as writer:
        topics = {t: writer.add_connection(t, kind, typestore=known_types()) for t, kind in world.kinds.items()}
        for at_ns, topic, data in sorted(world.said, key=lambda each: each[0]):
            writer.write(topics[topic], at_ns, data)
    _, dataset = converted(tmp_path / "bag", tmp_path)
    assert dataset.lengths.tolist() == [60]
    np.testing.assert_allclose(brightness(dataset, 0), [level(i) for i in range(60)], atol=2.0)


def test_an_order_begins_an_episode_also_when_it_was_given_before(tmp_path):
    world = World(seconds=6.0)
    world.say(2.0, "/instruction", text(ASK))
    world.say(4.0, "/instruction", text("touch the blue cube"))
    (plan,), dataset = converted(world.write(tmp_path / "bag"), tmp_path)
    assert dataset.instructions == (ASK, ASK, "touch the blue cube")
    assert dataset.lengths.tolist() == [60, 60, 60]
    assert plan.tally.ends["at an instruction or mark"] == 2
    np.testing.assert_allclose(dataset.q[dataset.starts], ROBOT.home + SPEED * np.array([[0], [2], [4]]), atol=1e-6)


def test_without_a_marker_only_another_sentence_begins_an_episode(tmp_path):
    world = World(seconds=6.0)
    world.say(2.0, "/instruction", text(ASK))
    world.say(4.0, "/instruction", text("touch the blue cube"))
    _, dataset = converted(world.write(tmp_path / "bag"), tmp_path, replace(MAPPING, marker=""))
    assert dataset.lengths.tolist() == [120, 60]


def test_frames_with_an_old_picture_are_refused_counted_and_end_the_episode(tmp_path):
    world = World(seconds=6.0)
    world.drop("/wrist/image_raw", 2.0, 3.0)
    (plan,), dataset = converted(world.write(tmp_path / "bag"), tmp_path)
    # The last picture, of 59/30 s, is old from 62/30 s + 0.1 s on: rows 63 to 89.
    assert plan.tally.refused == {"camera wrist older than 0.1 s": 27}
    assert dataset.lengths.tolist() == [63, 90]
    assert plan.tally.kept + sum(plan.tally.refused.values()) == 180
    np.testing.assert_allclose(brightness(dataset, 1)[0], level(90), atol=2.0)


def test_pieces_that_are_too_short_are_left_out_and_counted(tmp_path):
    world = World(seconds=3.0)
    world.drop("/joint_states", 0.5, 1.0)
    (plan,), dataset = converted(world.write(tmp_path / "bag"), tmp_path)
    assert dataset.lengths.tolist() == [60]
    assert plan.tally.refused["in pieces of less than 30 frames"] == 18
    assert plan.tally.refused["state older than 0.1 s"] == 12


@pytest.mark.parametrize(("jump_s", "told"), [(-20, "the clock went back"), (3600, "silence of more than 1 s")])
def test_a_jump_of_the_clock_ends_the_episode(tmp_path, jump_s, told):
    first, second = World(seconds=2.0), World(seconds=2.0, start_ns=START + (2 + jump_s) * S)
    second.said = [each for each in second.said if each[1] != "/instruction"]  # latched: it is not said again
    first.said = [each for w in (first, second) for each in sorted(w.said, key=lambda each: each[0])]
    (plan,), dataset = converted(first.write(tmp_path / "bag", ordered=False), tmp_path)
    assert plan.hearing.jumps == {told: 1}
    assert dataset.lengths.tolist() == [60, 60]
    assert set(dataset.instructions) == {ASK}
    np.testing.assert_allclose(dataset.q[60], ROBOT.home, atol=1e-6)


def test_where_the_arm_has_no_torque_there_is_nothing_to_learn(tmp_path):
    world = World(seconds=4.0)
    world.drop("/joint_command", 2.0)
    for i in range(200, 400):
        limp = joints(world.at(i / 100), pose(world.at(i / 100)), effort=np.zeros(6))
        world.say(i / 100, "/joint_command", limp)
    (plan,), dataset = converted(world.write(tmp_path / "bag"), tmp_path)
    assert dataset.lengths.tolist() == [60]
    assert plan.tally.refused == {"no torque": 60}


def test_by_stamp_a_late_picture_belongs_to_when_it_was_taken(tmp_path):
    world = World(seconds=3.0)
    for camera in ROBOT.camera_names:
        world.drop(f"/{camera}/image_raw")
        for i in range(90):
            late = image(world.at(i / 30), level(i), stamp_ns=world.at(i / 30))
            world.say(i / 30 + 0.08, f"/{camera}/image_raw", late)
    bag = world.write(tmp_path / "bag")
    (tmp_path / "by_stamp").mkdir()
    _, dataset = converted(bag, tmp_path / "by_stamp", replace(MAPPING, clock="stamped"))
    np.testing.assert_allclose(brightness(dataset, 0)[:60], [level(i) for i in range(60)], atol=2.0)
    _, dataset = converted(bag, tmp_path)
    offset = np.argmin(np.abs(brightness(dataset, 0)[0] - [level(i) for i in range(5)]))
    assert offset == 0  # the first frame is the first at which a picture had arrived
    np.testing.assert_allclose(dataset.q[0], ROBOT.home + SPEED * 0.08, atol=1e-6)


def test_pictures_are_resized_where_the_mapping_says_so(tmp_path):
    cameras = {"overhead": CameraTopic(topic="overhead/image_raw", size=(12, 16))}
    _, dataset = converted(World(seconds=1.5).write(tmp_path / "bag"), tmp_path, replace(MAPPING, cameras=cameras))
    assert dataset.cameras == ("overhead",)
    assert dataset.pictures(0, [3], "overhead").shape == (1, 12, 16, 3)


def test_several_bags_make_one_dataset_and_the_command_says_what_became_of_them(tmp_path, capsys):
    for number in range(3):
        World(seconds=1.5).write(tmp_path / f"bags/{number}")
    assert main(["convert", str(tmp_path / "bags"), "--to", "lerobot", "--out", str(tmp_path / "data")]) == 0
    said = capsys.readouterr().out
    assert "3 episodes, 135 frames, 30 a second; overhead 32x24, wrist 32x24" in said
    assert len(read_dataset(tmp_path / "data", ROBOT)) == 3
    assert not list(tmp_path.glob("*.partial"))


def test_what_a_bag_without_words_shows_can_be_said(tmp_path):
    world = World(seconds=1.5)
    world.drop("/instruction")
    bag = world.write(tmp_path / "bag")
    _, dataset = converted(bag, tmp_path, instruction="wave")
    assert dataset.instructions == ("wave",)


def test_converting_needs_neither_torch_nor_ros():
    code = "import sys, so_arm_policy.learn.convert_command; print({'torch', 'rclpy'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
