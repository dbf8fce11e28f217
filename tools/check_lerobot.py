#!/usr/bin/env python3
"""Does the published `lerobot` read what is written here, and is what it writes read here? Prints what it compared.

Run by hand, in an environment of its own that has lerobot; docs/data.md says how to make one:

    python tools/check_lerobot.py [--folder FOLDER | --fixtures FOLDER]

--folder reads every row of a dataset of yours with both, e.g. one that `so-arm convert` made; --robot names its robot.
--fixtures writes two small datasets with lerobot, those that the tests read. Exits with 1 when something differs.
"""
# ruff: noqa: T201

import argparse
import importlib.metadata
import os
import sys
import tempfile
import types
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from so_arm_policy.learn.datasets.index import finish  # noqa: E402
from so_arm_policy.learn.datasets.reader import read_dataset  # noqa: E402
from so_arm_policy.learn.datasets.units import Units, from_radians, lerobot_names  # noqa: E402
from so_arm_policy.learn.datasets.video import VideoConfig  # noqa: E402
from so_arm_policy.learn.datasets.writer import DatasetWriter, EpisodeRecord  # noqa: E402
from so_arm_policy.robot.description import load_robot  # noqa: E402

FPS, SIZE = 30, (48, 64)
TASKS = ("put the red cube in the bowl", "put the blue can on the plate")
ROBOT = load_robot("so101")
GREY_LEVELS = 8.0  # more than any codec here loses on average
failures: list[str] = []


def lerobot_dataset_class():
    """Import LeRobotDataset; a torchvision made for another torch loads all but its compiled operators."""
    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError):
        for name in [name for name in sys.modules if name.startswith("torchvision")]:
            del sys.modules[name]
        sys.modules["torchvision._meta_registrations"] = types.ModuleType("torchvision._meta_registrations")
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    return LeRobotDataset


def poses(episode, rows):
    """Joints that move slowly between their limits, (rows, n) rad."""
    phase = 0.11 * np.arange(rows)[:, None] + 0.7 * np.arange(len(ROBOT.joints)) + episode
    return (ROBOT.lower + ROBOT.upper) / 2 + 0.45 * (ROBOT.upper - ROBOT.lower) * np.sin(phase)


def pictures(episode, rows, size=SIZE):
    """A square that crosses a gradient, (rows, height, width, 3) uint8."""
    height, width = size
    y, x = np.mgrid[:height, :width]
    background = np.stack([80 + x, 60 + y, np.full_like(x, 90 + 20 * episode)], axis=-1)
    frames = np.repeat(background[None], rows, axis=0)
    for row in range(rows):
        left = (2 * row + 5 * episode) % (width - height // 3)
        frames[row, height // 3 : 2 * height // 3, left : left + height // 3] = (200, 40, 30)
    return frames.clip(0, 255).astype(np.uint8)


def record(episode, rows=40, sparse=False):
    """One episode with extra columns of every shape."""
    q = poses(episode, rows)
    fresh = np.arange(0, rows, 7) if sparse else None
    frames = pictures(episode, rows)
    return EpisodeRecord(
        task=TASKS[episode % 2],
        q=q,
        action=q + 0.02,
        pictures={
            "overhead": frames if fresh is None else frames[fresh],
            "wrist": (frames if fresh is None else frames[fresh])[:, ::-1],
        },
        picture_rows=fresh,
        extras={
            "expert.velocity": np.gradient(q, axis=0).astype(np.float32),
            "expert.stage": np.arange(rows) // 10,
            "expert.done": np.arange(rows) > rows - 3,
            "expert.plan": np.random.default_rng(episode).normal(size=(rows, 4, 2, 6)).astype(np.float32),
            "scene.objects": np.random.default_rng(episode).normal(size=(rows, 3, 3)),
        },
    )


def compare(what, got, expected, tolerance):
    """Print the largest difference, and remember when it is too large."""
    worst = float(np.abs(np.asarray(got, np.float64) - np.asarray(expected, np.float64)).max())
    print(f"  {what:<44} max difference {worst:.3g}")
    if not worst <= tolerance:
        failures.append(what)


def compare_pictures(what, got, expected):
    """Print the loss in grey levels."""
    error = np.abs(np.asarray(got, np.float64) - np.asarray(expected, np.float64))
    print(
        f"  {what:<44} mean {error.mean():.2f}, p99 {np.percentile(error, 99):.0f}, max {error.max():.0f} grey levels"
    )
    if not error.mean() <= GREY_LEVELS:
        failures.append(what)


def check_ours(lerobot, folder, config, sparse):
    """Write with this package, read with lerobot."""
    print(f"written here ({config.codec}, {config.pixel_format}{', few pictures' if sparse else ''}), read by lerobot:")
    writer = DatasetWriter(folder=folder, robot=ROBOT, fps=FPS, video=config)
    records = [record(episode, rows=40 + 3 * episode, sparse=sparse) for episode in range(5)]
    for number, part in enumerate((records[:2], records[2:])):
        writer.write_shard(number, part)
    finish(folder, 2)
    dataset = lerobot("local/check", root=folder)
    backend = getattr(dataset, "video_backend", None) or getattr(dataset, "_video_backend", "unknown")
    print(f"  {'decoder that lerobot chose':<44} {backend}")
    items = [dataset[i] for i in range(len(dataset))]
    stacked = {key: np.stack([np.asarray(item[key]) for item in items]) for key in items[0] if key != "task"}
    for key, part in (("observation.state", "q"), ("action", "action")):
        expected = np.concatenate([from_radians(getattr(r, part), ROBOT, Units.DEGREES) for r in records])
        compare(key, stacked[key], expected, 1e-4)
    for key in records[0].extras:
        compare(key, stacked[key], np.concatenate([r.extras[key] for r in records]), 1e-6)
    tasks = [r.task for r in records for _ in r.q]
    print(
        f"  {'task':<44} {sum(a == item['task'] for a, item in zip(tasks, items, strict=True))} of {len(tasks)} equal"
    )
    if tasks != [item["task"] for item in items]:
        failures.append("task")
    ours = read_dataset(folder, ROBOT)
    for camera in ours.cameras:
        seen = (stacked[f"observation.images.{camera}"] * 255.0).round().transpose(0, 2, 3, 1)
        shown = [
            r.pictures[camera][np.searchsorted(r.fresh_rows, np.arange(len(r.q)), side="right") - 1] for r in records
        ]
        compare_pictures(f"pictures of {camera}", seen, np.concatenate(shown))
        decoded = np.concatenate([ours.pictures(e, range(ours.lengths[e]), camera) for e in range(len(ours))])
        compare_pictures(f"pictures of {camera}, against ours decoded", seen, decoded)
    compare(
        "statistics of the state: mean",
        dataset.meta.stats["observation.state"]["mean"],
        stacked["observation.state"].mean(0),
        1e-3,
    )
    moving = lerobot("local/check", root=folder, delta_timestamps={"action": [0.0, 1 / FPS, 2 / FPS]})
    compare("action, three rows ahead (delta_timestamps)", moving[3]["action"], stacked["action"][3:6], 0.0)


def write_theirs(lerobot, folder, episodes, rows, videos, size=SIZE, small_files=False):
    """Write a dataset with lerobot's own create, add_frame and save_episode."""
    vector = {"dtype": "float32", "shape": (len(ROBOT.joints),), "names": list(lerobot_names(ROBOT))}
    picture = {"dtype": "video" if videos else "image", "shape": (*size, 3), "names": ["height", "width", "channels"]}
    features = {"observation.state": vector, "action": vector, "observation.images.front": picture}
    dataset = lerobot.create("local/theirs", FPS, features, root=folder, robot_type="so101_follower", use_videos=videos)
    if small_files:
        dataset.meta.update_chunk_settings(2, data_files_size_in_mb=0.001, video_files_size_in_mb=0.001)
    for episode in range(episodes):
        q, frames = poses(episode, rows), pictures(episode, rows, size)
        for row in range(rows):
            values = {"observation.state": q[row], "action": q[row] + 0.02}
            frame = {key: from_radians(value, ROBOT, Units.DEGREES).astype(np.float32) for key, value in values.items()}
            dataset.add_frame({**frame, "observation.images.front": frames[row], "task": TASKS[episode % 2]})
        dataset.save_episode()
    dataset.finalize()


def check_theirs(lerobot, folder, videos, small_files):
    """Write with lerobot, read with this package."""
    episodes, rows = 5, 20
    write_theirs(lerobot, folder, episodes, rows, videos, small_files=small_files)
    files = len(list(folder.glob("data/*/*.parquet"))), len(list(folder.glob("videos/*/*/*.mp4")))
    kind = f"{'video' if videos else 'images in parquet'}, {files[0]} data and {files[1]} video files"
    print(f"written by lerobot ({kind}), read here:")
    dataset = read_dataset(folder, ROBOT)
    expected = np.concatenate([poses(episode, rows) for episode in range(episodes)])
    compare("state, rad", dataset.q, expected, 1e-5)
    compare("action, rad", dataset.action, expected + 0.02, 1e-5)
    print(f"  {'tasks':<44} {list(dict.fromkeys(dataset.instructions))}")
    if list(dataset.instructions) != [TASKS[episode % 2] for episode in range(episodes)]:
        failures.append("tasks")
    seen = np.concatenate([dataset.pictures(e, range(rows), "front") for e in range(episodes)])
    compare_pictures("pictures of front", seen, np.concatenate([pictures(e, rows) for e in range(episodes)]))


def check_folder(lerobot, folder, robot):
    """Read every row of a dataset with lerobot and with this package."""
    ours, theirs = read_dataset(folder, robot), lerobot("local/folder", root=folder)
    print(f"{folder}: {theirs.num_episodes} episodes, {theirs.num_frames} rows, {theirs.fps} a second")
    if (theirs.num_episodes, theirs.num_frames) != (len(ours), len(ours.q)):
        failures.append("counts")
    rows = [(episode, row) for episode in range(len(ours)) for row in range(ours.lengths[episode])]
    numbers = {key: ours.column(key) for key in ("observation.state", "action", "timestamp", "episode_index")}
    different = {camera: [] for camera in ours.cameras}
    worst, told = dict.fromkeys(numbers, 0.0), 0
    for i, (episode, row) in enumerate(rows):
        item = theirs[i]
        for key, column in numbers.items():
            worst[key] = max(worst[key], float(np.abs(np.asarray(item[key], np.float64) - column[i]).max()))
        told += item["task"] == ours.instructions[episode]
        for camera in ours.cameras if row in (0, ours.lengths[episode] // 2, ours.lengths[episode] - 1) else ():
            seen = (np.asarray(item[f"observation.images.{camera}"]) * 255.0).round().transpose(1, 2, 0)
            different[camera].append(np.abs(seen - ours.pictures(episode, [row], camera)[0]).mean())
    for key, value in worst.items():
        compare(key, value, 0.0, 0.0)
    print(f"  {'task':<44} {told} of {len(rows)} equal")
    for camera, values in different.items():
        compare(f"{len(values)} pictures of {camera}, against ours decoded, grey levels", np.mean(values), 0.0, 1.0)
    if told != len(rows):
        failures.append("task")


def check_merged(folder):
    """Write two datasets with this package, join them with lerobot's own tool, read the result with this package."""
    from lerobot.datasets.aggregate import aggregate_datasets

    print("two written here, joined by lerobot's aggregate_datasets, read here:")
    parts = [folder / "first", folder / "second"]
    records = [record(episode) for episode in range(5)]
    for part, some in zip(parts, (records[:3], records[3:]), strict=True):
        DatasetWriter(folder=part, robot=ROBOT, fps=FPS).write_shard(0, some)
        finish(part)
    aggregate_datasets(["local/first", "local/second"], "local/both", roots=parts, aggr_root=folder / "both")
    dataset = read_dataset(folder / "both", ROBOT)
    compare("state, rad", dataset.q, np.concatenate([r.q for r in records]), 1e-5)
    compare("expert.plan", dataset.column("expert.plan"), np.concatenate([r.extras["expert.plan"] for r in records]), 0)
    seen = np.concatenate([dataset.pictures(e, range(40), "overhead") for e in range(5)])
    compare_pictures("pictures of overhead", seen, np.concatenate([r.pictures["overhead"] for r in records]))


def main():
    """Run every comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fixtures", type=Path, help="write the datasets that the tests read, and do nothing else")
    parser.add_argument("--folder", type=Path, help="compare how this dataset is read, and do nothing else")
    parser.add_argument("--robot", default="so101", help="robot of that dataset (default %(default)s)")
    options = parser.parse_args()
    lerobot = lerobot_dataset_class()
    versions = {name: importlib.metadata.version(name) for name in ("lerobot", "torch", "datasets", "pyarrow", "av")}
    print(", ".join(f"{name} {version}" for name, version in versions.items()))
    if options.fixtures:
        for name in ("video", "image"):
            write_theirs(lerobot, options.fixtures / f"lerobot_{name}", 3, 8, name == "video", (24, 32))
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["HF_DATASETS_CACHE"] = f"{scratch}/cache"
        if options.folder:
            check_folder(lerobot, options.folder, load_robot(options.robot))
            return report()
        folder = Path(scratch)
        check_ours(lerobot, folder / "a", VideoConfig(), sparse=False)
        check_ours(lerobot, folder / "b", VideoConfig(codec="av1", pixel_format="yuv420p", crf=30), sparse=False)
        check_ours(lerobot, folder / "c", VideoConfig(), sparse=True)
        check_theirs(lerobot, folder / "d", videos=True, small_files=False)
        check_theirs(lerobot, folder / "e", videos=True, small_files=True)
        check_theirs(lerobot, folder / "f", videos=False, small_files=True)
        check_merged(folder / "g")
    return report()


def report():
    """Print what differs; return the exit code."""
    print(f"FAILED: {failures}" if failures else "all equal, pictures within the codec's loss")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
