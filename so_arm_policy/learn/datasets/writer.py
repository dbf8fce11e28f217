"""Writing a LeRobot v3 dataset: shards of episodes, by several processes at once, then `index.finish`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.core.mapping import to_mapping
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.learn.datasets import lerobot_format as lf
from so_arm_policy.learn.datasets.arrow_files import Array, to_column, write_table, write_whole
from so_arm_policy.learn.datasets.index import Shard, shard_metadata
from so_arm_policy.learn.datasets.stats import NAMES, Stats, of_numbers, of_pictures
from so_arm_policy.learn.datasets.units import Units, from_radians, lerobot_names
from so_arm_policy.learn.datasets.video import VideoConfig, VideoEncoder
from so_arm_policy.policy.preprocess import check_rgb

# LeRobot compares picture times as 32-bit numbers with a tolerance of 0.1 ms, which fails beyond 1024 s in one file.
LONGEST_VIDEO_S = 1000.0


@dataclass(frozen=True, kw_only=True)
class EpisodeRecord:
    """One episode of T rows, as it is to be written.

    q, action: (T, n) rad in the robot's joint order, measured and commanded. pictures: camera -> (F, H, W, 3) uint8.
    picture_rows: (F,) ascending rows in which the pictures were taken, the first 0; None when there is one for every
    row (F = T). extras: more columns by name, (T, ...) of numbers, written as they are.
    """

    task: str
    q: npt.NDArray[np.floating[Any]]
    action: npt.NDArray[np.floating[Any]]
    pictures: Mapping[str, npt.NDArray[np.uint8]] = field(default_factory=dict)
    picture_rows: npt.NDArray[np.integer[Any]] | None = None
    extras: Mapping[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise InputError for what could not be read back."""
        if not self.task.strip():
            raise InputError(f"episode: got task {self.task!r}, expected a sentence")
        if self.q.ndim != 2 or len(self.q) < 2 or self.action.shape != self.q.shape:
            shapes = f"q {self.q.shape} and action {self.action.shape}"
            raise InputError(f"episode: got {shapes}, expected the same (T, n) twice, T at least 2")
        for name, values in {"q": self.q, "action": self.action, **self.extras}.items():
            if len(values) != len(self.q) or values.dtype.name not in lf.NUMBERS or values.ndim > 5:
                got = f"{values.dtype} of shape {values.shape}"
                raise InputError(f"episode: got {name!r} {got}, expected numbers ({len(self.q)}, ...), at most 5 axes")
            if not np.isfinite(values).all():
                row = int(np.argwhere(~np.isfinite(values))[0, 0])
                raise InputError(f"episode: got a value of {name!r} in row {row} that is not finite, expected numbers")
        self._check_names()
        self._check_pictures()

    def _check_names(self) -> None:
        for name in [*self.extras, *self.pictures]:
            if "/" in name or not name:
                raise InputError(f"episode: got name {name!r}, expected no '/' in it")
        taken = (*lf.ROW_COLUMNS, lf.PICTURE_ROW, lf.ACTION, "task")
        for name in self.extras:
            if name in taken or name.startswith(("observation.", "action.")):
                raise InputError(f"episode: got extra column {name!r}, expected another name, e.g. 'expert.{name}'")

    def _check_pictures(self) -> None:
        rows = self.fresh_rows
        if not (rows.ndim == 1 and len(rows) and rows[0] == 0 and (np.diff(rows) > 0).all() and rows[-1] < len(self.q)):
            raise InputError(
                f"episode: got picture_rows {rows}, expected ascending rows of 0..{len(self.q) - 1} from 0"
            )
        for camera, pictures in self.pictures.items():
            if len(pictures) != len(rows):
                raise InputError(f"episode: got {len(pictures)} pictures of {camera!r}, expected {len(rows)}")
            check_rgb(pictures[0], name=f"pictures of {camera!r}")

    @property
    def fresh_rows(self) -> npt.NDArray[np.int64]:
        """Rows in which a picture was taken, (F,)."""
        return np.arange(len(self.q)) if self.picture_rows is None else np.asarray(self.picture_rows, dtype=np.int64)


@dataclass(frozen=True, kw_only=True)
class DatasetWriter:
    """Writes shards of a dataset; may be sent to other processes. Every file is whole or not there.

    fps: rows a second. units: those of state and action in the files.
    """

    folder: Path
    robot: RobotConfig
    fps: int
    units: Units = Units.DEGREES
    video: VideoConfig = VideoConfig()

    def __post_init__(self) -> None:
        """Refuse a rate that is none."""
        if not 0 < self.fps <= 1000:
            raise ConfigError(f"dataset: got {self.fps} rows a second, expected 1..1000")

    def missing(self, shards: int) -> list[int]:
        """Return the numbers below `shards` of those not yet written: what a run that was killed has to do still."""
        return [i for i in range(shards) if not Shard(self.folder, i).episodes_path.exists()]

    def write_shard(self, number: int, episodes: Iterable[EpisodeRecord]) -> None:
        """Write episodes as shard `number`: its videos, its rows, and last its list of episodes, which marks it whole.

        Raises InputError for episodes that do not fit each other or the robot, WriteError e.g. on a full disk.
        """
        build = _ShardBuild(self)
        for episode in episodes:
            build.add(episode)
        build.write(Shard(self.folder, number))


class _ShardBuild:
    """A shard in memory: encoded videos, columns and statistics of the episodes so far."""

    def __init__(self, writer: DatasetWriter) -> None:
        self._writer = writer
        self._features: dict[str, lf.Feature] = {}
        self._encoders: dict[str, VideoEncoder] = {}
        self._columns: list[dict[str, Array]] = []
        self._tasks: list[str] = []
        self._stats: list[dict[str, Stats]] = []

    def add(self, episode: EpisodeRecord) -> None:
        features = _features(self._writer, episode)
        if not self._features:
            self._features = features
            self._encoders = {
                key: VideoEncoder(f.picture_size, self._writer.fps, self._writer.video, lf.PICTURE_ROW in features)
                for key, f in features.items()
                if f.dtype == "video"
            }
        _check_same(self._features, features, f"episode {len(self._tasks)} of the shard")
        self._check_length(len(episode.q))
        columns = self._numbers(episode)
        self._stats.append({name: of_numbers(values) for name, values in columns.items()})
        repeats = np.diff(np.append(episode.fresh_rows, len(episode.q)))
        for camera, pictures in episode.pictures.items():
            for picture, repeat in zip(pictures, repeats, strict=True):
                self._encoders[lf.IMAGES + camera].add(picture, int(repeat))
            self._stats[-1][lf.IMAGES + camera] = of_pictures(pictures)
        self._columns.append(columns)
        self._tasks.append(episode.task)

    def _check_length(self, rows: int) -> None:
        seconds = (sum(len(columns["index"]) for columns in self._columns) + rows) / self._writer.fps
        if self._encoders and seconds > LONGEST_VIDEO_S:
            limit = f"at most {LONGEST_VIDEO_S:.0f} s, else LeRobot does not find the pictures: fewer episodes a shard"
            raise InputError(f"shard: got {seconds:.0f} s of video or more in one file, expected {limit}")

    def _numbers(self, episode: EpisodeRecord) -> dict[str, Array]:
        """Return every column but pictures; index, episode_index and task_index are given by `finish`."""
        rows, robot, units = np.arange(len(episode.q)), self._writer.robot, self._writer.units
        columns: dict[str, Array] = {
            lf.STATE: from_radians(np.asarray(episode.q, np.float64), robot, units).astype(np.float32),
            lf.ACTION: from_radians(np.asarray(episode.action, np.float64), robot, units).astype(np.float32),
            "timestamp": (rows / self._writer.fps).astype(np.float32),
            "frame_index": rows,
            **{name: np.zeros_like(rows) for name in ("episode_index", "index", "task_index")},
        }
        if episode.picture_rows is not None:
            fresh = episode.fresh_rows
            columns[lf.PICTURE_ROW] = fresh[np.searchsorted(fresh, rows, side="right") - 1]
        extras = {name: np.asarray(values) for name, values in episode.extras.items()}
        return columns | {name: v[:, 0] if v.shape[1:] == (1,) else v for name, v in extras.items()}

    def write(self, shard: Shard) -> None:
        if not self._tasks:
            raise InputError(f"shard {shard.number}: got no episodes, expected some")
        lengths = [len(columns["index"]) for columns in self._columns]
        shard.episodes_path.unlink(missing_ok=True)
        for key, encoder in self._encoders.items():
            write_whole(shard.video_path(key), encoder.finish())
        data = {name: np.concatenate([c[name] for c in self._columns]) for name in self._columns[0]}
        write_table(shard.data_path, pa.table({name: to_column(values) for name, values in data.items()}))
        write_table(shard.episodes_path, self._episodes(shard, lengths))

    def _episodes(self, shard: Shard, lengths: Sequence[int]) -> pa.Table:
        ends = np.cumsum(lengths)
        starts, (chunk, file) = ends - lengths, lf.place(shard.number)
        columns: dict[str, Any] = {
            "episode_index": np.arange(len(lengths)),
            "tasks": pa.array([[task] for task in self._tasks], pa.list_(pa.string())),
            "length": np.asarray(lengths, dtype=np.int64),
            "dataset_from_index": starts,
            "dataset_to_index": ends,
        }
        for name in ("data", "meta/episodes", *(f"videos/{key}" for key in self._encoders)):
            columns[f"{name}/chunk_index"] = np.full(len(lengths), chunk)
            columns[f"{name}/file_index"] = np.full(len(lengths), file)
        for key in self._encoders:
            columns[f"videos/{key}/from_timestamp"] = starts / self._writer.fps
            columns[f"videos/{key}/to_timestamp"] = ends / self._writer.fps
        for key in self._stats[0]:
            for stat in NAMES:
                values = np.stack([stats[key][stat] for stats in self._stats])
                columns[f"stats/{key}/{stat}"] = to_column(values.astype(np.int64) if stat == "count" else values)
        writer = self._writer
        about = {"fps": writer.fps, "units": writer.units.value, "robot": writer.robot.name}
        return shard_metadata(pa.table(columns), about | {"features": to_mapping(self._features)})


def _features(writer: DatasetWriter, episode: EpisodeRecord) -> dict[str, lf.Feature]:
    """Return what the columns of an episode are. Raises InputError when it is of another robot."""
    joints = len(writer.robot.joints)
    if episode.q.shape[1] != joints:
        raise InputError(f"episode: got {episode.q.shape[1]} joints, expected {joints} of {writer.robot.name}")
    vector = lf.Feature(dtype="float32", shape=(joints,), names=list(lerobot_names(writer.robot)))
    features = {lf.STATE: vector, lf.ACTION: vector}
    for camera, pictures in episode.pictures.items():
        height, width = pictures.shape[1:3]
        about = {"video.height": height, "video.width": width, "video.codec": writer.video.codec}
        about |= {"video.pix_fmt": writer.video.pixel_format, "video.is_depth_map": False, "video.fps": writer.fps}
        about |= {"video.channels": 3, "has_audio": False}
        names = ["height", "width", "channels"]
        features[lf.IMAGES + camera] = lf.Feature(dtype="video", shape=(height, width, 3), names=names, info=about)
    features |= {name: lf.Feature(dtype=dtype, shape=(1,)) for name, dtype in lf.ROW_COLUMNS.items()}
    if episode.picture_rows is not None:
        features[lf.PICTURE_ROW] = lf.Feature(dtype="int64", shape=(1,))
    for name, values in episode.extras.items():
        features[name] = lf.Feature(dtype=values.dtype.name, shape=values.shape[1:] or (1,))
    return features


def _check_same(first: Mapping[str, lf.Feature], features: Mapping[str, lf.Feature], where: str) -> None:
    """Raise InputError at the first column that differs, e.g. a camera of another size."""
    for name in [*first, *(name for name in features if name not in first)]:
        got, expected = features.get(name), first.get(name)
        if got != expected:
            told = [f"{f.dtype} {f.shape}" if f else "none" for f in (got, expected)]
            raise InputError(f"{where}: got column {name!r} {told[0]}, expected {told[1]} as in the first episode")
