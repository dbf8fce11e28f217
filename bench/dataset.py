"""What video encodings cost and lose, and how fast LeRobot datasets are written and read, on pictures of the simulator.

Run it on a quiet machine: `python bench/dataset.py`. One thread; pictures of 128x96 as the policies see them. The loss
is the difference to the pictures before encoding, in grey levels of 255.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from so_arm_policy.core.robot import RobotConfig  # noqa: E402
from so_arm_policy.learn.datasets.index import finish  # noqa: E402
from so_arm_policy.learn.datasets.reader import read_dataset  # noqa: E402
from so_arm_policy.learn.datasets.video import VideoConfig, VideoEncoder, VideoFile  # noqa: E402
from so_arm_policy.learn.datasets.writer import DatasetWriter, EpisodeRecord  # noqa: E402
from so_arm_policy.policy.preprocess import resize  # noqa: E402
from so_arm_policy.robot.description import load_robot  # noqa: E402
from so_arm_policy.sim.renderer import SceneRenderer  # noqa: E402
from so_arm_policy.sim.simulator import Simulator  # noqa: E402
from so_arm_policy.sim.tasks import make_task  # noqa: E402

FPS, TICKS_PER_ROW = 30, 4
SIZE = (96, 128)
ENCODINGS = (
    VideoConfig(),
    VideoConfig(crf=10),
    VideoConfig(crf=22),
    VideoConfig(keyframe_every=10),
    VideoConfig(pixel_format="yuv420p"),
    VideoConfig(pixel_format="yuv420p", crf=1),
    VideoConfig(codec="av1", pixel_format="yuv420p"),
    VideoConfig(codec="av1", pixel_format="yuv420p", crf=30),
)


def film(robot: RobotConfig, renderer: SceneRenderer, seed: int, rows: int) -> EpisodeRecord:
    """An arm that sways about over one scene."""
    episode = make_task("reach").sample(seed)
    simulator, rng = Simulator(robot, episode.scene), np.random.default_rng(seed)
    rate, phase = rng.uniform(0.5, 2.0, len(robot.joints)), rng.uniform(0.0, 6.0, len(robot.joints))
    q, commands, views = [], [], {camera: [] for camera in robot.camera_names}
    for row in range(rows):
        command = np.clip(robot.home + 0.3 * np.sin(rate * row / FPS + phase), robot.lower, robot.upper)
        q.append(simulator.q)
        commands.append(command)
        for camera, seen in views.items():
            seen.append(resize(renderer.render(episode.scene, simulator.qpos, camera), *SIZE))
        for _ in range(TICKS_PER_ROW):
            simulator.step(command)
    pictures = {camera: np.stack(seen) for camera, seen in views.items()}
    return EpisodeRecord(task=episode.instruction, q=np.stack(q), action=np.stack(commands), pictures=pictures)


def encodings(records: list[EpisodeRecord], folder: Path) -> None:
    """Print a row of the table for each encoding."""
    pictures = np.concatenate([views for record in records for views in record.pictures.values()])
    print(f"{len(pictures)} pictures of {SIZE[1]}x{SIZE[0]}")
    print("encoding                              encoded/s decoded/s bytes  mean   rms   p99   max")
    for config in ENCODINGS:
        start = time.perf_counter()
        encoder = VideoEncoder(SIZE, FPS, config)
        for picture in pictures:
            encoder.add(picture)
        content = encoder.finish()
        encoded = time.perf_counter()
        path = folder / "film.mp4"
        path.write_bytes(content)
        with VideoFile(path, FPS) as file:
            back = file.pictures([i / FPS for i in range(len(pictures))])
        decoded = time.perf_counter()
        error = np.abs(back.astype(np.int16) - pictures)
        rms = np.sqrt(np.square(error, dtype=np.float32).mean())
        name = f"{config.codec} {config.pixel_format} crf {config.crf}, key frame every {config.keyframe_every}"
        print(
            f"{name:<38}{len(pictures) / (encoded - start):9.0f} {len(pictures) / (decoded - encoded):9.0f}"
            f" {len(content) / len(pictures):5.0f} {error.mean():5.2f} {rms:5.2f}"
            f" {np.percentile(error, 99):5.0f} {error.max():5d}"
        )


def dataset(robot: RobotConfig, records: list[EpisodeRecord], folder: Path) -> None:
    """Print how fast a dataset is written and read."""
    rows, cameras = sum(len(record.q) for record in records), len(robot.cameras)
    start = time.perf_counter()
    DatasetWriter(folder=folder, robot=robot, fps=FPS).write_shard(0, records)
    written = time.perf_counter()
    finish(folder)
    print(f"written: {rows / (written - start):.0f} rows/s with {cameras} pictures each", end="")
    print(f", index of {rows} rows in {time.perf_counter() - written:.2f} s")
    start = time.perf_counter()
    read = read_dataset(folder, robot)
    print(f"opened in {time.perf_counter() - start:.2f} s")
    for episode in range(len(read)):
        read.all_pictures(episode, range(int(read.lengths[episode])))
    start = time.perf_counter()
    for episode in range(len(read)):
        read.all_pictures(episode, range(int(read.lengths[episode])))
    print(f"decoded in order: {rows * cameras / (time.perf_counter() - start):.0f} pictures/s", end="")
    rng, start = np.random.default_rng(0), time.perf_counter()
    for _ in range(300):
        episode = int(rng.integers(len(read)))
        read.all_pictures(episode, [int(rng.integers(read.lengths[episode]))])
    print(f", anywhere: {300 * cameras / (time.perf_counter() - start):.0f} pictures/s")


def main() -> None:
    """Film, encode, write, read."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=10)
    parser.add_argument("--rows", type=int, default=90)
    options = parser.parse_args()
    robot = load_robot("so101")
    renderer = SceneRenderer(robot)
    records = [film(robot, renderer, seed, options.rows) for seed in range(options.episodes)]
    with tempfile.TemporaryDirectory() as scratch:
        encodings(records, Path(scratch))
        dataset(robot, records, Path(scratch) / "dataset")


if __name__ == "__main__":
    main()
