"""Reading a LeRobot v3 dataset: joints in radians in the robot's order, pictures decoded where they are asked for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import InputError
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.learn.datasets import lerobot_format as lf
from so_arm_policy.learn.datasets.arrow_files import Array, from_column, read_table
from so_arm_policy.learn.datasets.episodes import EpisodeList, read_episodes, read_tasks
from so_arm_policy.learn.datasets.pictures import Ints, OpenVideos, check_videos, parquet_images
from so_arm_policy.learn.datasets.units import Units, check_units, joint_columns, to_radians
from so_arm_policy.policy.preprocess import resize

NEEDED = (lf.STATE, lf.ACTION, *lf.ROW_COLUMNS)


@dataclass(frozen=True, kw_only=True)
class Episode:
    """One episode of T rows. q, action: (T, n) rad in the robot's order; timestamps: (T,) s from its first row."""

    index: int
    task: str
    q: FloatArray
    action: FloatArray
    timestamps: FloatArray


class Dataset:
    """A dataset of E episodes, N rows in all, n joints; made by `read_dataset`. All arrays are read-only.

    q, action: (N, n) rad in the robot's order. timestamps: (N,) s from the start of the episode. task_index: (N,).
    tasks: sentences by task_index. starts, lengths: (E,) first row and number of rows of each episode.
    """

    def __init__(self, folder: Path, robot: RobotConfig, info: lf.DatasetInfo, units: Units) -> None:
        """Read everything but pictures and extra columns. Raises InputError that names the file or column."""
        self.folder, self.robot, self.info, self.units = folder, robot, info, units
        missing = [name for name in NEEDED if name not in info.features]
        if missing:
            raise InputError(f"{folder / lf.INFO}: got columns {list(info.features)}, expected {missing} too")
        self._episodes: EpisodeList = read_episodes(folder, info)
        self.starts, self.lengths = self._episodes.starts, self._episodes.lengths
        self.timestamps: FloatArray = self.column("timestamp").astype(np.float64)
        self.q, self.action = self._joints(lf.STATE), self._joints(lf.ACTION)
        self._check_rows()
        self.task_index: Ints = self.column("task_index").astype(np.int64)
        self.tasks = read_tasks(folder / lf.TASKS)
        if not np.isin(self.task_index, np.arange(len(self.tasks))).all():
            got = f"{self.task_index.min()}..{self.task_index.max()}"
            raise InputError(f"{folder}: got task_index {got}, expected 0..{len(self.tasks) - 1} of {lf.TASKS}")
        for key, places in self._episodes.videos.items():
            check_videos(places, self.lengths, info.features[key].picture_size, info.fps)
        self._videos = OpenVideos(info.fps)
        self._picture_row: Ints | None = None
        for array in (self.q, self.action, self.timestamps, self.task_index, self.lengths, self.starts):
            array.setflags(write=False)

    def __len__(self) -> int:
        """Return the number of episodes."""
        return len(self.lengths)

    def __iter__(self) -> Iterator[Episode]:
        """Go through the episodes; no picture is decoded."""
        for index, task in enumerate(self.instructions):
            rows = self.rows(index)
            q, action, timestamps = self.q[rows], self.action[rows], self.timestamps[rows]
            yield Episode(index=index, task=task, q=q, action=action, timestamps=timestamps)

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of the cameras."""
        return self.info.cameras

    @property
    def extras(self) -> tuple[str, ...]:
        """Names of the other columns of numbers, for `column`."""
        known = (*NEEDED, lf.PICTURE_ROW)
        return tuple(key for key, f in self.info.features.items() if f.dtype in lf.NUMBERS and key not in known)

    @property
    def instructions(self) -> tuple[str, ...]:
        """The task of each episode's first row, (E)."""
        return tuple(self.tasks[i] for i in self.task_index[self.starts])

    def rows(self, episode: int) -> slice:
        """Return the rows of an episode in the arrays of the dataset. Raises InputError."""
        if not 0 <= episode < len(self):
            raise InputError(f"got episode {episode}, expected 0..{len(self) - 1}")
        return slice(int(self.starts[episode]), int(self.starts[episode] + self.lengths[episode]))

    def column(self, name: str) -> Array:
        """Read any column of numbers as it is stored: (N,) or (N, ...). Raises InputError that lists the columns."""
        feature = self.info.features.get(name)
        if feature is None or feature.dtype not in lf.NUMBERS:
            known = [key for key, f in self.info.features.items() if f.dtype in lf.NUMBERS]
            raise InputError(f"{self.folder}: got column {name!r}, expected one of {known}")
        tables = ((path, read_table(path, [name], need=[name])) for path in self._episodes.data_paths)
        return np.concatenate([from_column(table, name, feature.row_shape, str(path)) for path, table in tables])

    def picture_rows(self, episode: int) -> Ints:
        """Return the rows of an episode, from 0, in which new pictures were taken: every row unless said otherwise."""
        rows = self.rows(episode)
        if lf.PICTURE_ROW not in self.info.features:
            return np.arange(self.lengths[episode])
        if self._picture_row is None:
            self._picture_row = self.column(lf.PICTURE_ROW).astype(np.int64)
        return np.unique(self._picture_row[rows])

    def pictures(self, episode: int, rows: Sequence[int] | Ints, camera: str) -> npt.NDArray[np.uint8]:
        """Decode what a camera saw in `rows` (k) of an episode, from 0: (k, height, width, 3).

        Raises InputError for rows or cameras that are not there, and for files that cannot be decoded.
        """
        key, first = self.info.camera_key(camera), self.rows(episode).start
        wanted = [int(row) for row in rows]
        if not wanted or min(wanted) < 0 or max(wanted) >= self.lengths[episode]:
            raise InputError(f"got rows {wanted} of episode {episode}, expected 0..{self.lengths[episode] - 1}")
        places = self._episodes.videos.get(key)
        if places is not None:
            times = [float(places.start[episode] + self.timestamps[first + row]) for row in wanted]
            return self._videos.get(places.paths[episode]).pictures(times)
        path, start = self._episodes.locate(first)
        return parquet_images(path, key, [start + row for row in wanted], self.info.features[key].picture_size)

    def all_pictures(
        self,
        episode: int,
        rows: Sequence[int] | Ints,
        size: tuple[int, int] | None = None,
        cameras: Sequence[str] | None = None,
    ) -> npt.NDArray[np.uint8]:
        """Decode what cameras saw: (k, cameras, height, width, 3), resized to `size` (height, width) if given.

        cameras: which, in what order; by default all. Raises InputError when their pictures differ in size and no size
        is given.
        """
        wanted = self.cameras if cameras is None else cameras
        sizes = {camera: self.info.features[self.info.camera_key(camera)].picture_size for camera in wanted}
        if not sizes or (size is None and len(set(sizes.values())) > 1):
            raise InputError(f"{self.folder}: got cameras of (height, width) {sizes}, expected equal ones, or size=...")
        views = [self.pictures(episode, rows, camera) for camera in wanted]
        if size is not None:
            views = [np.stack([resize(picture, *size) for picture in view]) for view in views]
        return np.stack(views, axis=1)

    def _joints(self, name: str) -> FloatArray:
        """Read state or action as radians in the robot's order, (N, n)."""
        where = f"{self.folder}: {name}"
        order = joint_columns(self.robot, self.info.features[name].entries, where)
        stored = self.column(name).astype(np.float64)
        if stored.shape[1:] != (len(order),):
            raise InputError(
                f"{where}: got rows of shape {stored.shape[1:]}, expected one number for each of the names"
            )
        if not np.isfinite(stored).all():
            row, column = (int(i) for i in np.argwhere(~np.isfinite(stored))[0])
            got = f"{stored[row, column]} in row {row}, column {column}"
            raise InputError(f"{where}: got {got}, expected finite numbers")
        values = stored[:, order]
        check_units(values, self.robot, self.units, where)
        return to_radians(values, self.robot, self.units)

    def _check_rows(self) -> None:
        """Raise InputError unless rows are numbered as the list of episodes says, and time goes on."""
        episode = np.repeat(np.arange(len(self)), self.lengths)
        for name, want in (("index", np.arange(len(episode))), ("episode_index", episode)):
            got = self.column(name)
            if not np.array_equal(got, want):
                same = got[: len(want)] == want[: len(got)]
                row = len(same) if same.all() else int(np.argmin(same))
                raise InputError(f"{self.folder}: got another {name} from row {row}, expected as in meta/episodes")
        if not (np.diff(self.timestamps)[np.diff(episode) == 0] > 0.0).all():
            raise InputError(
                f"{self.folder}: got timestamps that do not rise, expected seconds from an episode's start"
            )


def read_dataset(path: Path, robot: RobotConfig, units: Units | None = None) -> Dataset:
    """Open the LeRobot v3 dataset in the folder `path`.

    units: those of state and action; None: as meta/so_arm_policy.json says in datasets written here, else degrees.
    Raises InputError for anything that cannot be used, with what was got and what was expected.
    """
    info = lf.load_info(path)
    return Dataset(path, robot, info, units or _units(path / lf.UNITS))


def _units(path: Path) -> Units:
    if not path.exists():
        return Units.DEGREES
    name = lf.read_json(path).get("units")
    if name not in [units.value for units in Units]:
        raise InputError(f"{path}: got units {name!r}, expected one of {[units.value for units in Units]}")
    return Units(name)
