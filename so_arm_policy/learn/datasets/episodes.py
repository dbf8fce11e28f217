"""What meta/ of a LeRobot v3 dataset says of its episodes: their rows, files, videos and tasks."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from so_arm_policy.core.errors import InputError
from so_arm_policy.learn.datasets import lerobot_format as lf
from so_arm_policy.learn.datasets.arrow_files import Array, from_column, read_table
from so_arm_policy.learn.datasets.pictures import Ints, VideoPlaces

ROW_RANGE = ("dataset_from_index", "dataset_to_index")
DATA_PLACE = ("data/chunk_index", "data/file_index")


@dataclass(frozen=True, kw_only=True)
class EpisodeList:
    """E episodes, one after the other. starts, lengths: (E,) rows.

    data_paths: files of rows, in order; data_ends: the row after the last of each. videos: where each camera's lie.
    """

    starts: Ints
    lengths: Ints
    data_paths: tuple[Path, ...]
    data_ends: Ints
    videos: dict[str, VideoPlaces]

    def locate(self, row: int) -> tuple[Path, int]:
        """Return the file that holds a row of the dataset, and which of its rows that is."""
        file = int(np.searchsorted(self.data_ends, row, side="right"))
        return self.data_paths[file], row - (int(self.data_ends[file - 1]) if file else 0)


def read_episodes(folder: Path, info: lf.DatasetInfo) -> EpisodeList:
    """Read the list of episodes. Raises InputError when it does not fit meta/info.json, or one is of a single row."""
    where = f"{folder}/meta/episodes"
    videos = [key for key, f in info.features.items() if f.dtype == "video"]
    places = [f"videos/{key}/{part}" for key in videos for part in ("chunk_index", "file_index", "from_timestamp")]
    need = [*ROW_RANGE, *DATA_PLACE, *places]
    paths = sorted(folder.glob("meta/episodes/*/*.parquet"))
    if not paths:
        raise InputError(f"{where}: got no parquet file there, expected a LeRobot v3 dataset")
    table = pa.concat_tables([read_table(path, need, need) for path in paths])
    columns = {name: from_column(table, name, (), where) for name in need}
    starts, ends = (columns[name].astype(np.int64) for name in ROW_RANGE)
    follow = np.array_equal(starts[1:], ends[:-1]) and starts[0] == 0 and ends[-1] == info.total_frames
    if len(starts) != info.total_episodes or not follow:
        expected = f"{info.total_episodes} that follow each other up to row {info.total_frames}"
        raise InputError(f"{where}: got {len(starts)} episodes up to row {ends[-1]}, expected {expected}")
    lengths = ends - starts
    if lengths.min() < 2:
        short = int(lengths.argmin())
        raise InputError(f"{where}: got {lengths[short]} row in episode {short}, expected at least 2")
    data = [folder / lf.fill(info.data_path, *place) for place in _places(columns, "data")]
    last = dict(zip(data, ends, strict=True))  # the last episode of a file ends it
    return EpisodeList(
        starts=starts,
        lengths=lengths,
        data_paths=tuple(last),
        data_ends=np.array(list(last.values()), dtype=np.int64),
        videos={key: _video_places(folder, info, key, columns) for key in videos},
    )


def _places(columns: dict[str, Array], prefix: str) -> list[tuple[int, int]]:
    chunks, files = columns[f"{prefix}/chunk_index"], columns[f"{prefix}/file_index"]
    return [(int(chunk), int(file)) for chunk, file in zip(chunks, files, strict=True)]


def _video_places(folder: Path, info: lf.DatasetInfo, key: str, columns: dict[str, Array]) -> VideoPlaces:
    assert info.video_path is not None  # DatasetInfo refuses video columns without it
    paths = [folder / lf.fill(info.video_path, *place, key) for place in _places(columns, f"videos/{key}")]
    return VideoPlaces(paths=tuple(paths), start=columns[f"videos/{key}/from_timestamp"].astype(np.float64))


def read_tasks(path: Path) -> tuple[str, ...]:
    """Return the tasks by task_index. The column of sentences has no fixed name: LeRobot keeps it as a pandas index."""
    table = read_table(path, need=["task_index"])
    texts = [f.name for f in table.schema if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)]
    index = table["task_index"].to_pylist()
    if len(texts) != 1 or sorted(index) != list(range(len(index))):
        raise InputError(f"{path}: got columns {table.column_names}, expected task_index 0..N-1 and the sentences")
    by_index = dict(zip(index, table[texts[0]].to_pylist(), strict=True))
    return tuple(str(by_index[i]) for i in range(len(index)))
