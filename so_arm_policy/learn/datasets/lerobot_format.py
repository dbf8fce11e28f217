"""LeRobot dataset format v3.0: where its files lie, what its columns are called, and its meta/info.json."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from so_arm_policy.core.errors import ConfigError, InputError
from so_arm_policy.core.mapping import from_mapping

CODEBASE_VERSION = "v3.0"
INFO = "meta/info.json"
STATS = "meta/stats.json"
TASKS = "meta/tasks.parquet"
UNITS = "meta/so_arm_policy.json"  # not LeRobot's; its reader ignores it
EPISODES = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
FILES_PER_CHUNK = 1000

STATE = "observation.state"
ACTION = "action"
IMAGES = "observation.images."
PICTURE_ROW = "picture_row"  # ours: the row in which the picture that a row shows was taken
ROW_COLUMNS = {
    "timestamp": "float32",
    "frame_index": "int64",
    "episode_index": "int64",
    "index": "int64",
    "task_index": "int64",
}
NUMBERS = ("float32", "float64", "float16", "int64", "int32", "int16", "int8", "uint8", "uint16", "uint32", "bool")
PICTURES = ("video", "image")


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One column. shape is that of one row, (1,) for a plain number; names are those of a vector's entries."""

    dtype: str
    shape: tuple[int, ...]
    names: Any = None
    info: dict[str, Any] | None = None

    @property
    def entries(self) -> tuple[str, ...] | None:
        """The names of a vector's entries: a list, or a list in a mapping such as {"motors": [...]}."""
        names = self.names
        if isinstance(names, Mapping) and len(names) == 1:
            (names,) = names.values()
        return tuple(str(name) for name in names) if isinstance(names, (list, tuple)) else None

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of one row as an array: () for a plain number."""
        return () if self.shape == (1,) else self.shape

    @property
    def picture_size(self) -> tuple[int, int]:
        """Height and width of a picture column."""
        channels_first = self.entries is not None and self.entries[0].startswith("channel")
        return (self.shape[1], self.shape[2]) if channels_first else (self.shape[0], self.shape[1])


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """What of meta/info.json matters here. The counts are of the whole dataset; paths are templates."""

    codebase_version: str
    fps: float
    features: dict[str, Feature]
    total_episodes: int
    total_frames: int
    total_tasks: int = 0
    robot_type: str | None = None
    data_path: str = DATA
    video_path: str | None = VIDEO

    def __post_init__(self) -> None:
        """Refuse another version, no rows, and columns that cannot be."""
        if self.codebase_version != CODEBASE_VERSION:
            raise InputError(
                f"got codebase_version {self.codebase_version!r}, expected {CODEBASE_VERSION!r};"
                " convert older datasets with `python -m lerobot.datasets.v30.convert_dataset_v21_to_v30`"
            )
        if not (0.0 < self.fps < math.inf and self.total_episodes > 0 and self.total_frames > 0):
            counts = f"{self.total_frames} rows in {self.total_episodes} episodes at {self.fps} frames a second"
            raise InputError(f"got {counts}, expected at least one of each")
        for name, feature in self.features.items():
            if not all(size > 0 for size in feature.shape) or not feature.shape:
                raise InputError(f"feature {name!r}: got shape {feature.shape}, expected positive sizes")
            if feature.dtype in PICTURES and len(feature.shape) != 3:
                raise InputError(f"feature {name!r}: got shape {feature.shape}, expected (height, width, channels)")
        if self.video_path is None and any(f.dtype == "video" for f in self.features.values()):
            raise InputError("got video columns but no video_path, expected where the videos lie")

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of the cameras, without `observation.images.`, in the order of the columns."""
        return tuple(key.removeprefix(IMAGES) for key, f in self.features.items() if f.dtype in PICTURES)

    def camera_key(self, camera: str) -> str:
        """Return the column of a camera. Raises InputError that lists the cameras."""
        for key in (IMAGES + camera, camera):
            if key in self.features and self.features[key].dtype in PICTURES:
                return key
        raise InputError(f"got camera {camera!r}, expected one of {list(self.cameras)}")


def load_info(folder: Path) -> DatasetInfo:
    """Read meta/info.json. Its other keys are ignored. Raises InputError that names the file."""
    path = folder / INFO
    raw = read_json(path)
    known = {key: value for key, value in raw.items() if key in DatasetInfo.__dataclass_fields__}
    features = known.get("features")
    if isinstance(features, Mapping):
        known["features"] = {key: _known_part(value) for key, value in features.items()}
    try:
        info = from_mapping(DatasetInfo, known, "info")
        for template in (info.data_path, info.video_path):
            fill(template or DATA, 0, 0, "x")
    except (ConfigError, InputError) as error:
        raise InputError(f"{path}: {error}") from error
    return info


def _known_part(feature: Any) -> Any:
    if not isinstance(feature, Mapping):
        return feature
    return {key: value for key, value in feature.items() if key in Feature.__dataclass_fields__}


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object. Raises InputError that names the file."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: got no such file, expected a finished LeRobot v3 dataset") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: got {error}, expected a readable JSON file") from error
    if not isinstance(data, dict):
        raise InputError(f"{path}: got {type(data).__name__}, expected a JSON object")
    return data


def fill(template: str, chunk: int, file: int, video_key: str = "") -> str:
    """Return the path that a template of info.json means. Raises InputError, also when it leads out of the dataset."""
    try:
        path = template.format(chunk_index=chunk, file_index=file, video_key=video_key)
    except (KeyError, IndexError, ValueError) as error:
        raise InputError(f"got path {template!r}, expected one with chunk_index, file_index, video_key") from error
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise InputError(f"got path {path!r}, expected one within the dataset")
    return path


def place(shard: int) -> tuple[int, int]:
    """Return chunk and file number of shard number `shard`."""
    return divmod(shard, FILES_PER_CHUNK)
