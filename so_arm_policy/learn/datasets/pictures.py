"""Pictures of a LeRobot dataset where they lie: in mp4 files of several episodes, or as images in the parquet files."""

import os
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import InputError
from so_arm_policy.core.values import Image
from so_arm_policy.learn.datasets.video import VideoFile

OPEN_FILES = 16  # videos kept open
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class VideoPlaces:
    """Where a camera's pictures of each episode lie: paths (E) and start (E,) s within the file."""

    paths: tuple[Path, ...]
    start: FloatArray


class OpenVideos:
    """Video files that stay open while they are used; opened anew in another process."""

    def __init__(self, fps: float) -> None:
        """fps: pictures a second of every file."""
        self._fps, self._process = fps, os.getpid()
        self._files: OrderedDict[Path, VideoFile] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        """Open files do not travel to other processes."""
        return {"_fps": self._fps, "_process": -1, "_files": OrderedDict()}

    def get(self, path: Path) -> VideoFile:
        """Return the file at `path`."""
        if self._process != os.getpid():
            self._files, self._process = OrderedDict(), os.getpid()
        file = self._files.pop(path, None) or VideoFile(path, self._fps)
        self._files[path] = file
        if len(self._files) > OPEN_FILES:
            self._files.popitem(last=False)[1].close()
        return file


def check_videos(places: VideoPlaces, lengths: Ints, size: tuple[int, int], fps: float) -> None:
    """Open every file once. Raises InputError when one is absent, cut short or not of `size` (height, width)."""
    needed: dict[Path, int] = {}
    for path, start, length in zip(places.paths, places.start, lengths, strict=True):
        needed[path] = max(needed.get(path, 0), round(start * fps) + int(length))
    for path, pictures in needed.items():
        with VideoFile(path, fps) as file:
            file.check(size, pictures)


def parquet_images(path: Path, key: str, rows: Sequence[int], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Return the images in rows (k) of a parquet file, (k, height, width, 3). Raises InputError that names the file."""
    found: dict[int, Image] = {}
    try:
        with pq.ParquetFile(path) as file:
            start = 0
            for group in range(file.num_row_groups):
                end = start + file.metadata.row_group(group).num_rows
                wanted = [row for row in set(rows) if start <= row < end]
                if wanted:
                    column = file.read_row_group(group, columns=[key])[key]
                    found |= {row: _decode(column[row - start].as_py(), f"{path}: {key!r} row {row}") for row in wanted}
                start = end
    except (OSError, KeyError, pa.ArrowException) as error:
        raise InputError(f"{path}: got {error}, expected images in column {key!r}") from error
    for row, image in found.items():
        if image.shape[:2] != size:
            got = f"{image.shape[1]}x{image.shape[0]}"
            raise InputError(f"{path}: {key!r} row {row}: got a picture of {got}, expected {size[1]}x{size[0]}")
    return np.stack([found[row] for row in rows])


def _decode(cell: Any, where: str) -> Image:
    content = cell.get("bytes") if isinstance(cell, dict) else None
    if not content:
        raise InputError(f"{where}: got no bytes, expected an image within the parquet file")
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise InputError(f"{where}: got bytes of no known kind, expected a PNG or JPEG image")
    return np.asarray(image, dtype=np.uint8)
