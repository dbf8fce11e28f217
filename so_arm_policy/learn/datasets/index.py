"""Making one dataset of shards: numbers that run on from shard to shard, and everything in meta/."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from so_arm_policy.core.errors import InputError
from so_arm_policy.learn.datasets import lerobot_format as lf
from so_arm_policy.learn.datasets.arrow_files import (
    PARTIAL,
    from_column,
    read_table,
    to_column,
    with_metadata,
    write_table,
    write_whole,
)
from so_arm_policy.learn.datasets.stats import NAMES, of_numbers, together

METADATA = "so_arm_policy"  # in the schema of a shard's list of episodes: fps, units, robot, features
GIVEN_HERE = ("episode_index", "index", "task_index")
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Shard:
    """Where the files of one shard lie: one of rows, one of each camera's pictures, and its list of episodes."""

    folder: Path
    number: int

    @property
    def data_path(self) -> Path:
        """The parquet file of its rows."""
        return self.folder / lf.fill(lf.DATA, *lf.place(self.number))

    @property
    def episodes_path(self) -> Path:
        """The parquet file that lists its episodes; it is there when the shard is whole."""
        return self.folder / lf.fill(lf.EPISODES, *lf.place(self.number))

    def video_path(self, key: str) -> Path:
        """The video of one camera; key: `observation.images.<camera>`."""
        return self.folder / lf.fill(lf.VIDEO, *lf.place(self.number), key)


def shard_metadata(episodes: pa.Table, about: Mapping[str, Any]) -> pa.Table:
    """Return the list of episodes with what a shard says about itself."""
    return with_metadata(episodes, {METADATA: json.dumps(about)})


def finish(folder: Path, shards: int | None = None) -> lf.DatasetInfo:
    """Make the shards in `folder` one dataset; run once, after they are written. Running it again changes nothing.

    Only numbers are written anew (index, episode_index, task_index of the rows), never pictures. meta/info.json comes
    last: without it, no reader takes the folder for a dataset. Raises InputError when one of `shards` (None: any
    number) is missing, unfinished or of other columns than the first.
    """
    every = _whole_shards(folder, shards)
    (folder / lf.INFO).unlink(missing_ok=True)
    for left in folder.rglob(f"*{PARTIAL}"):
        left.unlink()
    about: dict[str, Any] = {}
    tasks: dict[str, int] = {}
    first_row = first_episode = 0
    stats: dict[str, list[Mapping[str, Any]]] = {}
    for shard in every:
        episodes = read_table(shard.episodes_path)
        found = _about(episodes, shard)
        about = about or found
        if found != about:
            raise InputError(f"{shard.episodes_path}: got {_difference(found, about)}, expected the same as in shard 0")
        numbers = _numbers(episodes, first_row, first_episode, tasks)
        _renumber(shard, episodes, numbers)
        episodes = read_table(shard.episodes_path)
        for key, feature in about["features"].items():
            stats.setdefault(key, []).append(_shard_stats(episodes, key, feature, str(shard.episodes_path)))
        first_row, first_episode = first_row + len(numbers["index"]), first_episode + len(episodes)
    info = _info(about, first_episode, first_row, len(tasks))
    _write_tasks(folder, list(tasks))
    joined = {key: _jsonable(together(parts)) for key, parts in stats.items()}
    _write_json(folder / lf.STATS, joined)
    _write_json(folder / lf.UNITS, {"units": about["units"], "robot": about["robot"]})
    _write_json(folder / lf.INFO, info)
    return lf.load_info(folder)


def _whole_shards(folder: Path, shards: int | None) -> list[Shard]:
    listed = {_number(path) for path in folder.glob("meta/episodes/chunk-*/file-*.parquet")}
    with_rows = {_number(path) for path in folder.glob("data/chunk-*/file-*.parquet")}
    expected = set(range(len(listed | with_rows) if shards is None else shards))
    if not listed or listed != expected or with_rows != expected:
        missing = sorted(expected - (listed & with_rows)) or sorted((listed | with_rows) - expected)
        raise InputError(
            f"{folder}: got {len(listed & with_rows)} whole shards, expected {len(expected)}; look at {missing}"
        )
    return [Shard(folder, number) for number in sorted(listed)]


def _number(path: Path) -> int:
    chunk, file = path.parent.name.removeprefix("chunk-"), path.stem.removeprefix("file-")
    if not (chunk.isdecimal() and file.isdecimal()):
        raise InputError(f"{path}: got this name, expected chunk-NNN/file-NNN.parquet")
    return int(chunk) * lf.FILES_PER_CHUNK + int(file)


def _about(episodes: pa.Table, shard: Shard) -> dict[str, Any]:
    text = (episodes.schema.metadata or {}).get(METADATA.encode())
    if text is None:
        raise InputError(f"{shard.episodes_path}: got no {METADATA!r} in its schema, expected a shard written here")
    about: dict[str, Any] = json.loads(text)
    return about


def _difference(found: Mapping[str, Any], first: Mapping[str, Any]) -> str:
    """Name what differs: fps, units, robot, or the first column."""
    for key in first:
        if key != "features" and found[key] != first[key]:
            return f"{key} {found[key]!r} instead of {first[key]!r}"
    ours, theirs = found["features"], first["features"]
    names = [name for name in [*theirs, *ours] if ours.get(name) != theirs.get(name)]
    return f"column {names[0]!r} {ours.get(names[0])} instead of {theirs.get(names[0])}"


def _numbers(episodes: pa.Table, first_row: int, first_episode: int, tasks: dict[str, int]) -> dict[str, Ints]:
    """Return what the rows of a shard are to hold as index, episode_index, task_index; adds new tasks to `tasks`."""
    lengths = np.asarray(episodes["length"])
    task = [tasks.setdefault(names[0], len(tasks)) for names in episodes["tasks"].to_pylist()]
    return {
        "index": np.arange(first_row, first_row + int(lengths.sum())),
        "episode_index": np.repeat(np.arange(first_episode, first_episode + len(lengths)), lengths),
        "task_index": np.repeat(np.array(task, dtype=np.int64), lengths),
    }


def _renumber(shard: Shard, episodes: pa.Table, numbers: Mapping[str, Ints]) -> None:
    """Write the shard's rows and list of episodes with these numbers, each only when it differs."""
    rows = read_table(shard.data_path, need=GIVEN_HERE)
    if len(rows) != len(numbers["index"]):
        raise InputError(f"{shard.data_path}: got {len(rows)} rows, expected {len(numbers['index'])}")
    _replace(shard.data_path, rows, {name: to_column(values) for name, values in numbers.items()})
    lengths = np.asarray(episodes["length"])
    starts = np.cumsum(lengths) - lengths
    columns = {
        "episode_index": to_column(numbers["episode_index"][starts]),
        "dataset_from_index": to_column(numbers["index"][starts]),
        "dataset_to_index": to_column(numbers["index"][starts] + lengths),
    }
    for name, values in numbers.items():
        parts = [of_numbers(values[start : start + length]) for start, length in zip(starts, lengths, strict=True)]
        for stat in NAMES:
            stacked = np.stack([part[stat] for part in parts])
            columns[f"stats/{name}/{stat}"] = to_column(stacked.astype(np.int64) if stat == "count" else stacked)
    _replace(shard.episodes_path, episodes, columns)


def _replace(path: Path, table: pa.Table, columns: Mapping[str, pa.Array]) -> None:
    changed = table
    for name, column in columns.items():
        changed = changed.set_column(changed.schema.get_field_index(name), name, column)
    if not changed.equals(table):
        write_table(path, changed)


def _shard_stats(episodes: pa.Table, key: str, feature: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    shape = (3, 1, 1) if feature["dtype"] in lf.PICTURES else tuple(feature["shape"])
    columns = {
        stat: from_column(episodes, f"stats/{key}/{stat}", (1,) if stat == "count" else shape, where) for stat in NAMES
    }
    return together([{stat: values[i] for stat, values in columns.items()} for i in range(len(episodes))])


def _info(about: Mapping[str, Any], episodes: int, rows: int, tasks: int) -> dict[str, Any]:
    return {
        "codebase_version": lf.CODEBASE_VERSION,
        "robot_type": about["robot"],
        "total_episodes": episodes,
        "total_frames": rows,
        "total_tasks": tasks,
        "chunks_size": lf.FILES_PER_CHUNK,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "fps": about["fps"],
        "splits": {"train": f"0:{episodes}"},
        "data_path": lf.DATA,
        "video_path": lf.VIDEO if any(f["dtype"] == "video" for f in about["features"].values()) else None,
        "features": {
            key: {name: value for name, value in f.items() if name != "info" or value is not None}
            for key, f in about["features"].items()
        },
    }


def _write_tasks(folder: Path, tasks: Sequence[str]) -> None:
    """Write meta/tasks.parquet as pandas would: the sentence is the index, which the metadata must say."""
    text = {"field_name": "task", "name": "task", "pandas_type": "unicode", "numpy_type": "object", "metadata": None}
    number = text | {"field_name": "task_index", "name": "task_index", "pandas_type": "int64", "numpy_type": "int64"}
    empty = text | {"field_name": None, "name": None, "metadata": {"encoding": "UTF-8"}}
    pandas = {
        "index_columns": ["task"],
        "column_indexes": [empty],
        "columns": [number, text],
        "pandas_version": "2.0.0",
    }
    table = pa.table({"task_index": np.arange(len(tasks)), "task": pa.array(tasks, pa.string())})
    write_table(folder / lf.TASKS, with_metadata(table, {"pandas": json.dumps(pandas)}))


def _jsonable(stats: Mapping[str, Any]) -> dict[str, Any]:
    return {name: (values.astype(int) if name == "count" else values).tolist() for name, values in stats.items()}


def _write_json(path: Path, data: Any) -> None:
    write_whole(path, json.dumps(data, indent=4, ensure_ascii=False).encode("utf-8"))
