import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from dataset_world import FPS, TASKS, frames, poses, record, records, write
from joblib import Parallel, delayed

from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.learn.datasets.index import finish
from so_arm_policy.learn.datasets.reader import read_dataset
from so_arm_policy.learn.datasets.stats import of_pictures
from so_arm_policy.learn.datasets.units import Units
from so_arm_policy.learn.datasets.video import VideoConfig
from so_arm_policy.learn.datasets.writer import DatasetWriter
from so_arm_policy.robot.description import load_robot

HERE = Path(__file__).parent


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_everything_comes_back(dataset, robot):
    written, read = records(robot, 3), read_dataset(dataset, robot)
    assert (len(read), read.cameras, read.units) == (3, ("overhead", "wrist"), Units.DEGREES)
    assert read.lengths.tolist() == [20, 21, 22]
    assert read.instructions == (TASKS[0], TASKS[1], TASKS[0])
    np.testing.assert_allclose(read.q, np.concatenate([r.q for r in written]), atol=1e-6)
    np.testing.assert_allclose(read.action, np.concatenate([r.action for r in written]), atol=1e-6)
    assert not read.q.flags.writeable
    assert read.extras == tuple(written[0].extras)
    for name in read.extras:
        expected = np.concatenate([r.extras[name] for r in written])
        assert read.column(name).dtype == expected.dtype
        np.testing.assert_array_equal(read.column(name), expected)
    for episode, (got, want) in enumerate(zip(read, written, strict=True)):
        assert (got.index, got.task, len(got.q)) == (episode, want.task, len(want.q))
        np.testing.assert_allclose(got.timestamps, np.arange(len(want.q)) / FPS, atol=1e-6)


def test_pictures_come_back_in_any_order_within_the_codecs_loss(dataset, robot):
    read, written = read_dataset(dataset, robot), records(robot, 3)
    for episode, rows in ((2, [0, 21, 7, 7, 8]), (0, [19]), (1, [5, 4, 3]), (2, range(22))):
        for camera in read.cameras:
            got = read.pictures(episode, rows, camera).astype(int)
            assert np.abs(got - written[episode].pictures[camera][list(rows)]).mean() < 2.0
    seen = read.all_pictures(1, [3, 9], size=(12, 16))
    assert (seen.shape, seen.dtype) == ((2, 2, 12, 16, 3), np.uint8)
    other = pickle.loads(pickle.dumps(read))
    np.testing.assert_array_equal(other.all_pictures(1, [3]), read.all_pictures(1, [3]))


def test_a_plain_colour_is_kept_to_a_grey_level_or_two(tmp_path, robot):
    colors = np.array(
        [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [0, 0, 0], [128, 64, 200]], dtype=np.uint8
    )
    pictures = np.broadcast_to(colors[:, None, None], (6, 24, 32, 3))
    write(tmp_path, robot, [[record(robot, rows=6, pictures={"overhead": pictures})]])
    got = read_dataset(tmp_path, robot).pictures(0, range(6), "overhead").astype(int)
    assert np.abs(got - pictures).max() <= 3


@pytest.mark.parametrize(
    "config", [VideoConfig(codec="av1", pixel_format="yuv420p"), VideoConfig(pixel_format="yuv420p")]
)
def test_other_codecs_are_read_as_well(tmp_path, robot, config):
    write(tmp_path, robot, [records(robot, 2)], video=config)
    read = read_dataset(tmp_path, robot)
    assert np.abs(read.pictures(1, [4, 20], "wrist").astype(int) - frames(4, 21)[[4, 20]]).mean() < 6.0


@pytest.mark.parametrize("units", Units)
def test_units_of_the_files_are_remembered(tmp_path, robot, units):
    read = read_dataset(write(tmp_path, robot, [records(robot, 2)], units=units), robot)
    assert read.units is units
    np.testing.assert_allclose(read.q[:20], poses(robot, 0, 20), atol=1e-6)


def test_two_arms(tmp_path):
    robot = load_robot("so101_bimanual")
    episode = record(robot, extras={})
    read = read_dataset(write(tmp_path, robot, [[episode]]), robot)
    assert read.info.features["action"].names[6] == "right_shoulder_pan.pos"
    np.testing.assert_allclose(read.q, episode.q, atol=1e-6)


def test_a_few_pictures_are_shown_until_the_next(tmp_path, robot):
    rows = np.array([0, 4, 11])
    pictures = {"overhead": frames(0, 20)[rows], "wrist": frames(3, 20)[rows]}
    read = read_dataset(write(tmp_path, robot, [[record(robot, pictures=pictures, picture_rows=rows)]]), robot)
    assert read.picture_rows(0).tolist() == [0, 4, 11]
    shown = read.pictures(0, [0, 3, 4, 10, 11, 19], "overhead").astype(int)
    assert np.abs(shown - pictures["overhead"][[0, 0, 1, 1, 2, 2]]).mean() < 2.0


def test_no_pictures_at_all(tmp_path, robot):
    read = read_dataset(write(tmp_path, robot, [[record(robot, pictures={})]]), robot)
    assert read.cameras == ()
    with pytest.raises(InputError, match=r"got camera 'overhead', expected one of \[\]"):
        read.pictures(0, [0], "overhead")


def test_shards_may_be_written_by_several_processes_in_any_order(tmp_path, robot):
    episodes = records(robot, 6)
    one = write(tmp_path / "one", robot, [episodes[i : i + 2] for i in (0, 2, 4)])
    writer = DatasetWriter(folder=tmp_path / "many", robot=robot, fps=FPS)
    Parallel(n_jobs=2)(delayed(writer.write_shard)(i, episodes[2 * i : 2 * i + 2]) for i in (2, 0, 1))
    finish(tmp_path / "many", 3)
    assert files(one) == files(tmp_path / "many")


def test_finishing_again_changes_nothing_and_more_shards_may_follow(tmp_path, robot):
    episodes = records(robot, 4)
    folder = write(tmp_path, robot, [episodes[:2]])
    before = files(folder)
    finish(folder)
    assert files(folder) == before
    DatasetWriter(folder=folder, robot=robot, fps=FPS).write_shard(1, episodes[2:])
    finish(folder)
    read = read_dataset(folder, robot)
    np.testing.assert_allclose(read.q, np.concatenate([e.q for e in episodes]), atol=1e-6)
    assert np.abs(read.pictures(3, [5], "overhead").astype(int) - frames(3, 23)[5]).mean() < 2.0


def test_statistics_are_those_of_the_columns(dataset, robot):
    stats, read = json.loads((dataset / "meta/stats.json").read_text()), read_dataset(dataset, robot)
    for name, shape in (("action", (6,)), ("scene.objects", (3, 3)), ("expert.stage", (1,)), ("index", (1,))):
        values = read.column(name).astype(float)
        for statistic in ("min", "max", "mean", "std"):
            assert np.shape(stats[name][statistic]) == shape
            expected = getattr(values, statistic)(axis=0).reshape(shape)
            np.testing.assert_allclose(stats[name][statistic], expected, atol=1e-9)
        assert stats[name]["count"] == [63]
    wrist = stats["observation.images.wrist"]
    assert np.shape(wrist["mean"]) == (3, 1, 1)
    assert 0.0 <= wrist["min"][0][0][0] < wrist["q50"][0][0][0] < wrist["max"][0][0][0] <= 1.0


def test_statistics_of_pictures_are_those_of_their_pixels():
    pictures = np.random.default_rng(0).integers(0, 200, (7, 10, 12, 3), dtype=np.uint8)
    stats, pixels = of_pictures(pictures), pictures.reshape(-1, 3) / 255.0
    np.testing.assert_allclose(stats["mean"].ravel(), pixels.mean(0))
    np.testing.assert_allclose(stats["std"].ravel(), pixels.std(0))
    np.testing.assert_allclose(stats["q90"].ravel(), np.quantile(pixels, 0.9, axis=0), atol=1 / 255)


@pytest.mark.parametrize("kind", ["video", "image"])
def test_a_dataset_that_lerobot_wrote_is_read(robot, kind):
    """Written by lerobot 0.4.4 with `tools/check_lerobot.py --fixtures`; its video is AV1."""
    read = read_dataset(HERE / f"lerobot_{kind}", robot)
    expected = np.concatenate([poses(robot, episode, 8) for episode in range(3)])
    np.testing.assert_allclose(read.q, expected, atol=1e-6)
    np.testing.assert_allclose(read.action, expected + 0.02, atol=1e-6)
    assert read.instructions == (TASKS[0], TASKS[1], TASKS[0])
    for episode in range(3):
        error = np.abs(read.pictures(episode, range(8), "front").astype(int) - frames(episode, 8))
        assert error.max() == 0 if kind == "image" else error.mean() < 6.0


def test_unknown_ways_to_encode_are_refused():
    with pytest.raises(ConfigError, match=r"codec 'vp9', expected one of \['av1', 'h264'\]"):
        VideoConfig(codec="vp9")
    with pytest.raises(ConfigError, match=r"av1 with 'yuv444p', expected one of \['yuv420p'\]"):
        VideoConfig(codec="av1")
