"""Episodes with smooth pictures, and the datasets that the tests write and spoil."""

import json
import os

import numpy as np
import pyarrow.parquet as pq

from so_arm_policy.learn.datasets.arrow_files import to_column
from so_arm_policy.learn.datasets.index import finish
from so_arm_policy.learn.datasets.writer import DatasetWriter, EpisodeRecord

FPS = 30
TASKS = ("put the red cube in the bowl", "put the blue can on the plate")


def poses(robot, episode, rows):
    """The very motion that tools/check_lerobot.py writes."""
    phase = 0.11 * np.arange(rows)[:, None] + 0.7 * np.arange(len(robot.joints)) + episode
    return (robot.lower + robot.upper) / 2 + 0.45 * (robot.upper - robot.lower) * np.sin(phase)


def frames(episode, rows, height=24, width=32):
    """The very pictures that tools/check_lerobot.py writes."""
    y, x = np.mgrid[:height, :width]
    background = np.stack([80 + x, 60 + y, np.full_like(x, 90 + 20 * episode)], axis=-1)
    pictures = np.repeat(background[None], rows, axis=0)
    for row in range(rows):
        left = (2 * row + 5 * episode) % (width - height // 3)
        pictures[row, height // 3 : 2 * height // 3, left : left + height // 3] = (200, 40, 30)
    return pictures.astype(np.uint8)


def record(robot, episode=0, rows=20, **changes):
    q = poses(robot, episode, rows)
    rng = np.random.default_rng(episode)
    whole = {
        "task": TASKS[episode % 2],
        "q": q,
        "action": q + 0.01,
        "pictures": {"overhead": frames(episode, rows), "wrist": frames(episode + 3, rows)},
        "extras": {
            "expert.velocity": rng.normal(size=(rows, 6)).astype(np.float32),
            "expert.stage": np.arange(rows) // 5,
            "expert.done": np.arange(rows) > rows - 3,
            "expert.plan": rng.normal(size=(rows, 4, 2, 6)).astype(np.float32),
            "scene.objects": rng.normal(size=(rows, 3, 3)),
        },
    }
    return EpisodeRecord(**whole | changes)


def records(robot, count, rows=20):
    return [record(robot, episode, rows + episode) for episode in range(count)]


def write(folder, robot, shards, **options):
    writer = DatasetWriter(folder=folder, robot=robot, fps=FPS, **options)
    for number, episodes in enumerate(shards):
        writer.write_shard(number, episodes)
    finish(folder, len(shards))
    return folder


def change_info(folder, **changes):
    path = folder / "meta/info.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def change_column(path, name, change):
    """Write a parquet file anew with one column changed; None takes it away."""
    table = pq.read_table(path)
    place = table.schema.get_field_index(name)
    if change is None:
        table = table.remove_column(place)
    else:
        values = np.array(table[name].to_pylist())
        table = table.set_column(place, name, to_column(change(values)))
    pq.write_table(table, path)


def kill_in_the_middle(robot, folder):
    """Write shard 0 and die, as by SIGKILL, in the middle of shard 1; run in a process of its own."""
    writer = DatasetWriter(folder=folder, robot=robot, fps=FPS)
    episodes = records(robot, 4)
    writer.write_shard(0, episodes[:2])

    def dying():
        yield episodes[2]
        os.kill(os.getpid(), 9)

    writer.write_shard(1, dying())
