"""Demonstrations: collected from seeds, kept, opened, and refused."""

import dataclasses

import numpy as np
import pytest
from small_training import COLLECT, opened, training

from so_arm_policy.core.errors import BundleError, ConfigError, InputError
from so_arm_policy.learn.datasets.index import finish
from so_arm_policy.learn.datasets.reader import read_dataset
from so_arm_policy.learn.datasets.writer import DatasetWriter, EpisodeRecord
from so_arm_policy.learn.demonstrations.collect import CollectConfig, collect, training_task, watched
from so_arm_policy.learn.demonstrations.labelled import Demonstrations, open_source
from so_arm_policy.learn.demonstrations.recordings import newest_frames
from so_arm_policy.learn.families.flow import FlowConfig
from so_arm_policy.learn.lessons.action_batches import ActionBatches
from so_arm_policy.learn.scaling.grid import few
from so_arm_policy.learn.train import TrainConfig
from so_arm_policy.learn.train_command import tasks_of
from so_arm_policy.policy.manifest import read_manifest
from so_arm_policy.robot.description import load_robot


def test_same_seeds_same_demonstrations_and_no_work_twice(folder, data, tmp_path):
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*.mp4")}
    assert len(times) == 4
    collect(COLLECT[0], folder / "reach", jobs=1)
    again = opened(folder)
    assert times == {path: path.stat().st_mtime_ns for path in folder.rglob("*.mp4")}
    collect(COLLECT[0], tmp_path, jobs=1)
    other = read_dataset(tmp_path, load_robot("so101"))
    rows = slice(0, len(other.q))
    assert np.array_equal(other.q.astype(np.float32), data.q[rows])
    assert np.array_equal(again.action, data.action)
    for name, column in data.expert.items():
        assert np.array_equal(other.column(name), column[rows]), name


def test_pictures_and_labels_belong_together(data):
    assert data.pictures(np.array([0, len(data.frames) - 1])).shape == (2, 2, 96, 128, 3)
    assert (data.episode[data.frames] == np.sort(data.episode[data.frames])).all()
    assert set(data.frames[newest_frames(data)] <= np.arange(len(data.q))) == {True}
    held = data.held_out()
    assert held.sum() == 2
    seen = data.scene["scene.objects"]
    assert seen.shape == (len(data.frames), 3, 3)
    assert np.abs(seen[..., :2]).max() < 0.4
    assert (data.expert["expert.stage"][data.ends - 1] == [0] * 5 + [5] * 5).all()  # reached, and back at home


def test_system_2_also_learns_from_scenes_of_a_policy_at_work(data, bundle_of, tmp_path):
    bundle = bundle_of("flow")
    config = CollectConfig(task="pick_place", episodes=1, shard=1, picture_every=12, policy=str(bundle))
    collect(config, tmp_path / "scenes", jobs=1)
    task, policy = watched(tmp_path / "scenes")
    assert (task, policy) == ("pick_place", read_manifest(bundle).id)
    dataset = read_dataset(tmp_path / "scenes", load_robot("so101"))
    assert len(dataset.q) == 300  # it has learnt nothing: all its time
    assert np.array_equal(dataset.picture_rows(0), np.arange(0, 300, 12))
    scenes = open_source(training_task(task), dataset, (96, 128))
    both = Demonstrations([*data.sources, scenes])
    assert both.demonstrated.tolist() == [True] * 10 + [False]
    assert set(data.task_of[few(both, 8)[:10]]) == {0, 1}
    context = training(tmp_path / "run2", "flow", both).system2().context
    assert context[: len(data.frames)].abs().sum(dim=(1, 2)).min() > 0
    assert context[len(data.frames) :].abs().max() == 0
    shown = np.flatnonzero(~both.demonstrated[both.episode[both.frames]])
    assert len(shown) == 25
    assert np.abs(np.diff(both.scene["scene.objects"][shown], axis=0)).max() < 0.2
    with pytest.raises(InputError, match="got none of 2 rows to train on"):
        ActionBatches(both, ~both.demonstrated, context, 16, 2)
    with pytest.raises(InputError, match="got scenes of policies alone"):
        Demonstrations([scenes])
    with pytest.raises(ConfigError, match="choose another folder"):
        collect(dataclasses.replace(config, policy=""), tmp_path / "scenes", jobs=1)


def test_scenes_are_those_of_a_policy(folder, tmp_path):
    with pytest.raises(InputError, match=r"collect\.json: got demonstrations, expected .* --policy"):
        watched(folder / "reach")
    with pytest.raises(InputError, match=r"collect\.json: got FileNotFoundError.*, expected .* collect"):
        watched(tmp_path)
    with pytest.raises(BundleError, match="manifest"):
        collect(CollectConfig(task="reach", episodes=1, shard=1, policy=str(tmp_path)), tmp_path / "out", jobs=1)
    assert not (tmp_path / "out").exists()


def test_too_few_or_other_demonstrations_are_named(data, tmp_path):
    with pytest.raises(InputError, match="so-arm collect"):
        Demonstrations([])
    with pytest.raises(InputError, match="got 5 episodes, expected at least 10"):
        Demonstrations(data.sources[:1]).held_out()
    robot = load_robot("so101")
    record = EpisodeRecord(task="wave", q=np.zeros((4, 6)), action=np.zeros((4, 6)))
    DatasetWriter(folder=tmp_path, robot=robot, fps=30).write_shard(0, [record])
    finish(tmp_path)
    with pytest.raises(InputError, match=r"expected \['scene.names'.* too, as so-arm collects"):
        open_source(training_task("reach"), read_dataset(tmp_path, robot), (96, 128))
    with pytest.raises(ConfigError, match="expected a multiple"):
        CollectConfig(episodes=7, shard=5)
    with pytest.raises(ConfigError, match="got 0 episodes"):
        CollectConfig.of("reach", 0)
    with pytest.raises(ConfigError, match="got first seed -1"):
        CollectConfig(first_seed=-1)
    with pytest.raises(ConfigError, match="got 0 jobs"):
        collect(COLLECT[0], tmp_path, jobs=0)
    with pytest.raises(ConfigError, match="action_batch 0"):
        TrainConfig(action_batch=0)
    with pytest.raises(ConfigError, match="0 episodes to watch"):
        dataclasses.replace(training(tmp_path, "flow", data), watch_episodes=0)
    with pytest.raises(ConfigError, match="task: got 'dance'"):
        CollectConfig(task="dance")
    with pytest.raises(ConfigError, match="got an expert for 5 context tokens"):
        TrainConfig(expert=FlowConfig(context_tokens=5))


def test_tasks_to_train_are_different_ones_of_one_robot():
    assert [task.name for task in tasks_of("reach, pick_place")] == ["reach", "pick_place"]
    with pytest.raises(ConfigError, match="expected different ones"):
        tasks_of("reach,reach")
    with pytest.raises(ConfigError, match="got 'dance', expected one of"):
        tasks_of("reach,dance")
