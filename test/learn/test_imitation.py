"""From recordings that say nothing but joints, commands, pictures and a sentence, to a bundle that runs."""

from pathlib import Path

import numpy as np
import pytest
import torch
from small_training import imitate, words_for

from so_arm_policy.core.values import CameraImage, JointSample
from so_arm_policy.learn.datasets.index import finish
from so_arm_policy.learn.datasets.reader import read_dataset
from so_arm_policy.learn.datasets.writer import DatasetWriter, EpisodeRecord
from so_arm_policy.learn.demonstrations.collect import training_task
from so_arm_policy.learn.demonstrations.keyframes import fingertips, keyframes, next_places
from so_arm_policy.learn.demonstrations.recordings import Recordings, open_recorded
from so_arm_policy.learn.lessons.asking import Words
from so_arm_policy.learn.lessons.imitation_batches import AHEAD, RecordedActionBatches, RecordedSceneBatches, dying
from so_arm_policy.policy.bundle import load_bundle
from so_arm_policy.policy.system1 import System1
from so_arm_policy.policy.system2 import System2
from so_arm_policy.robot.description import load_robot

HERE = Path(__file__).parent / "datasets"
ROBOT = load_robot("so101")
ROLL = ROBOT.joint_names.index("wrist_roll")


def there_and_back(rows=90):
    """One second to a place, one there, in which the gripper closes, one back: (T, n) rad."""
    q = np.tile(ROBOT.home, (rows, 1))
    along = np.concatenate([np.linspace(0, 1, 30), np.ones(30), np.linspace(1, 0, 30)])
    q[:, 0] += 0.8 * along
    q[:, 5] = np.where(np.arange(rows) < 45, 1.0, 0.2)
    return q


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Ten recordings of there_and_back, each with another roll of the wrist, 0.1 rad apart, and in other light."""
    folder = tmp_path_factory.mktemp("recorded")
    records = []
    for number in range(10):
        q = there_and_back()
        q[:, ROLL] += 0.1 * number
        pictures = {name: np.full((90, 24, 32, 3), 20 * number, dtype=np.uint8) for name in ROBOT.camera_names}
        records.append(EpisodeRecord(task="touch the red cube", q=q, action=q, pictures=pictures))
    DatasetWriter(folder=folder, robot=ROBOT, fps=30).write_shard(0, records)
    finish(folder)
    source = open_recorded(read_dataset(folder, ROBOT), ROBOT.camera_names, (96, 128), folder)
    return Recordings([source])


def test_pictures_of_other_cameras_or_rows_are_not_taken_for_these(recordings, tmp_path):
    dataset = recordings.sources[0].dataset
    there = open_recorded(dataset, ("overhead", "wrist"), (96, 128), tmp_path)
    turned = open_recorded(dataset, ("wrist", "overhead"), (96, 128), tmp_path)
    assert len(list(tmp_path.glob("pictures_*.npy"))) == 2
    assert np.array_equal(there.pictures, turned.pictures[:, ::-1])
    assert Recordings([there]).digest == recordings.digest != Recordings([turned]).digest
    open_recorded(dataset, ("overhead", "wrist"), (96, 128), tmp_path)
    assert len(list(tmp_path.glob("pictures_*.npy"))) == 2


@pytest.mark.parametrize("family", ["flow", "act"])
def test_what_lerobot_recorded_trains_here(family, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folders = [HERE / "lerobot_video", HERE / "lerobot_image"] * 2
    assert imitate(folders, tmp_path / "bundle", "--cameras", "front,front", "--family", family) == 0
    assert f"mine-{family}-" in capsys.readouterr().out
    bundle = load_bundle(tmp_path / "bundle", ROBOT)
    assert bundle.manifest.tasks == ("mine",)
    assert "red" in bundle.manifest.words
    assert bundle.manifest.training["command"].startswith("so-arm imitate ")
    assert bundle.manifest.training["episodes"][str(HERE / "lerobot_video")] == 3
    sample = JointSample(stamp_ns=10**9, received_ns=10**9, q=ROBOT.home, dq=np.zeros(6))
    pictures = {
        name: CameraImage(camera=name, stamp_ns=10**9, rgb=np.zeros((120, 160, 3), np.uint8))
        for name in ROBOT.camera_names
    }
    context = System2(bundle, ROBOT).encode(pictures, "put the red cube in the bowl", sample)
    system1 = System1(bundle, ROBOT)
    assert system1.infer(system1.request(10**9, sample, context)).positions.shape == (16, 6)


def test_recordings_that_do_not_fit_are_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    one = HERE / "lerobot_video"
    for more, said in (
        ((), r"got cameras ['front'], expected ['overhead', 'wrist'] too"),
        (("--cameras", "front"), "expected a name, and a camera for each of ['overhead', 'wrist']"),
        (("--cameras", "front,front"), "got 3 episodes, expected at least 10"),
        (("--cameras", "front,front", "--units", "radians"), "rad"),
    ):
        assert imitate([one], tmp_path / "out", *more) == 2
        assert said in capsys.readouterr().err
    DatasetWriter(folder=tmp_path / "slow", robot=ROBOT, fps=10).write_shard(
        0, [EpisodeRecord(task="wave", q=np.zeros((4, 6)), action=np.zeros((4, 6)))]
    )
    finish(tmp_path / "slow")
    with pytest.raises(Exception, match="got 10 rows a second, expected 30"):
        open_recorded(read_dataset(tmp_path / "slow", ROBOT), (), (96, 128), tmp_path)
    assert not (tmp_path / "out").exists()


def test_a_hand_stops_turns_its_gripper_and_ends():
    found = keyframes(there_and_back(), [5])
    assert found[-1] == 89
    assert 45 in found  # the gripper
    assert any(abs(row - 30) <= 2 for row in found)
    assert keyframes(there_and_back()[:1], [5]).tolist() == [0]
    assert keyframes(np.tile(ROBOT.home, (20, 1)), [5]).tolist() == [19]


def test_system_2_is_told_where_the_hand_goes_next(recordings):
    source, place = next_places(recordings, ROBOT)
    q = recordings.q[:90]
    tips = fingertips(ROBOT, q)[:, 0]
    assert np.linalg.norm(source[0] - tips[30]) < 0.015
    assert np.linalg.norm(place[0] - tips[45]) < 1e-9
    in_the_end = np.flatnonzero(recordings.frames < 90)[-1]
    assert np.allclose(source[in_the_end], tips[-1])
    assert np.allclose(place[in_the_end], tips[-1])


def test_system_2_sees_what_was_seen_when_it_was_said(recordings, tmp_path):
    words: Words = words_for([training_task("reach")], tmp_path)
    frames = np.arange(len(recordings.frames))
    batch = RecordedSceneBatches(recordings, frames, words, ROBOT).draw(np.random.default_rng(0), 40)
    assert batch.images.shape == (40, 2, 96, 128, 3)
    assert batch.ahead.shape == (40, len(AHEAD), 6)
    brightness = batch.images.mean(dim=(1, 2, 3, 4)).numpy()
    assert np.corrcoef(brightness, batch.state[:, ROLL].numpy())[0, 1] > 0.95  # of the same recording
    assert (batch.ahead[:, :, ROLL].abs() < 1e-4).all()  # the wrist stays as it is
    assert (batch.ahead[:, :, 0].abs() > 0.1).any()
    assert batch.state.dtype == batch.source.dtype == torch.float32


def test_system_2_looks_when_there_is_a_way_to_go_and_cannot_tell_by_the_joints(recordings, tmp_path):
    frames = np.arange(len(recordings.frames))
    batches = RecordedSceneBatches(recordings, frames, words_for([training_task("reach")], tmp_path), ROBOT)
    batch = batches.draw(np.random.default_rng(0), 400)
    rows = recordings.frames
    at = np.minimum(rows[:, None] + np.array(AHEAD), recordings.ends[recordings.episode[rows]][:, None] - 1)
    ahead = (recordings.action[at] - recordings.q[rows][:, None]) / batches.ahead_std
    drawn = np.concatenate([ahead.reshape(len(rows), -1), next_places(recordings, ROBOT)[0]], axis=1)
    said = np.concatenate([batch.ahead.numpy().reshape(400, -1), batch.source.numpy()], axis=1)
    frame = np.array([np.abs(drawn - each).max(axis=1).argmin() for each in said])  # which picture each is of
    right = np.abs(batch.state.numpy() - recordings.q[rows[frame]]).max(axis=1) < 1e-4
    assert 0.4 < right.mean() < 0.75
    tips = fingertips(ROBOT, recordings.q[rows[frame]].astype(np.float64))[:, 0]
    away = np.linalg.norm(tips - batch.source.numpy(), axis=1) > 0.05
    everywhere = np.linalg.norm(fingertips(ROBOT, recordings.q[rows].astype(np.float64))[:, 0] - drawn[:, -3:], axis=1)
    assert away.mean() == pytest.approx(0.5 + 0.5 * (everywhere > 0.05).mean(), abs=0.08)


def test_system_1_learns_the_recorded_commands_and_comes_back_to_them(recordings):
    context = torch.arange(len(recordings.frames), dtype=torch.float32)[:, None, None].half()
    batches = RecordedActionBatches(recordings, np.ones(10, dtype=bool), context, 16, 2)
    batch = batches.draw(np.random.default_rng(0), 2000)
    positions, state = batch.positions.numpy(), batch.state.numpy()
    assert positions.shape == (2000, 16, 6)
    # Nobody jumps: from row to row less than the arm may do.
    assert np.abs(np.diff(positions[..., :5], axis=1)).max() * 30 < 3.0
    assert np.abs(state - positions[:, 0]).max() < 0.05
    begun_aside = np.abs(positions[:, 1, 1] - ROBOT.home[1])  # a joint that never moves in the recordings
    left = np.abs(positions[:, -1, 1] - ROBOT.home[1])
    assert 0.05 < (begun_aside > 0.01).mean() < 0.5
    assert left.max() < 0.25 * begun_aside.max()
    stopped = np.abs(positions[:, 0] - positions[:, 1]).max(axis=1) < 1e-7
    assert stopped.mean() > 0.15
    frames = batch.context[:, 0, 0].long().numpy()
    assert len(set(frames.tolist())) == len(recordings.frames)
    recording = recordings.episode[recordings.frames[frames]]
    assert np.abs(positions[:, -1, ROLL] - ROBOT.home[ROLL] - 0.1 * recording)[~stopped].max() < 0.03


def test_errors_die_away_without_overshoot():
    left = dying(np.array([[0.1]]), np.array([[0.0]]), 60)[0, :, 0]
    assert (np.diff(left) < 0).all()
    assert 0 < left[-1] < 1e-4
    assert left[0] > 0.095
