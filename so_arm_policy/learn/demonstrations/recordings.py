"""Recorded episodes in memory: joints, commands and instructions of LeRobot datasets of one robot, side by side.

N rows, E episodes, F pictured rows ("frames"), n joints. Pictures stay on disk as one array for each dataset.
"""

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from so_arm_policy.core.errors import InputError
from so_arm_policy.learn.datasets.reader import Dataset
from so_arm_policy.learn.demonstrations.episode_rows import FPS

Ints = npt.NDArray[np.int64]
LEAST_EPISODES = 10
PICTURE_EVERY = 6  # rows, of a dataset that has a picture in every row


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """One dataset and its pictures, (F, cameras, H, W, 3) uint8, of the rows frames (F,). cameras: their names."""

    dataset: Dataset
    cameras: tuple[str, ...]
    frames: Ints
    pictures: npt.NDArray[np.uint8]


class Recordings:
    """All rows of all sources. q, action: (N, n) rad; episode: (N,) number of each row's; starts, ends: (E,) rows.

    frames: (F,) rows with pictures, ascending. demonstrated: (E,) whether it shows how to do something.
    """

    def __init__(self, sources: Sequence[Recorded]) -> None:
        """Join `sources`. Raises InputError when there are none."""
        if not sources:
            raise InputError("demonstrations: got no dataset, expected some; run `so-arm collect` first")
        datasets = [source.dataset for source in sources]
        self.sources: tuple[Recorded, ...] = tuple(sources)
        self.q = np.concatenate([d.q for d in datasets]).astype(np.float32)
        self.action = np.concatenate([d.action for d in datasets]).astype(np.float32)
        lengths = np.concatenate([d.lengths for d in datasets])
        self.ends: Ints = np.cumsum(lengths)
        self.starts: Ints = self.ends - lengths
        self.episodes = len(lengths)
        self.episode: Ints = np.repeat(np.arange(self.episodes), lengths)
        self.instructions = [text for d in datasets for text in d.instructions]
        offsets = np.cumsum([0, *[len(d.q) for d in datasets]])
        self.frames: Ints = np.concatenate([s.frames + o for s, o in zip(sources, offsets, strict=False)])
        self._frame_ends = np.cumsum([len(source.frames) for source in sources])
        self.demonstrated: npt.NDArray[np.bool_] = np.ones(self.episodes, dtype=np.bool_)

    def labels(self) -> Iterable[npt.NDArray[np.generic]]:
        """Return what else is known of rows and frames."""
        return ()

    @cached_property
    def digest(self) -> str:
        """Sixteen hex digits that name exactly these rows, labels, instructions and cameras."""
        cameras = [",".join(source.cameras) for source in self.sources]
        content = hashlib.sha256("\n".join([*self.instructions, *cameras]).encode())
        for array in (self.q, self.action, self.frames, *self.labels()):
            content.update(np.ascontiguousarray(array).tobytes())
        return content.hexdigest()[:16]

    def pictures(self, frames: Ints) -> npt.NDArray[np.uint8]:
        """Return the pictures of frame numbers `frames` (B,): (B, cameras, H, W, 3)."""
        source = np.searchsorted(self._frame_ends, frames, side="right")
        begins = np.concatenate([[0], self._frame_ends[:-1]])
        return np.stack([self.sources[s].pictures[f - begins[s]] for s, f in zip(source, frames, strict=True)])

    def held_out(self) -> npt.NDArray[np.bool_]:
        """Return which episodes, (E,), are never trained on. Raises InputError."""
        return held_out_of(self.episodes)

    def normalisation(self, episodes: npt.NDArray[np.bool_] | None = None) -> tuple[Tensor, Tensor]:
        """Return mean and std of the commands, (n,) rad each; an idle joint counts as 0.05 rad wide.

        episodes: (E,) those that count, by default all.
        """
        action = self.action if episodes is None else self.action[episodes[self.episode]]
        mean, std = action.mean(0), np.maximum(action.std(0), 0.05)
        return torch.tensor(mean, dtype=torch.float32), torch.tensor(std, dtype=torch.float32)


def held_out_of(episodes: int) -> npt.NDArray[np.bool_]:
    """Return which of so many, (E,), are never trained on: one in 40, one in 5 of a few. Raises InputError."""
    if episodes < LEAST_EPISODES:
        raise InputError(f"demonstrations: got {episodes} episodes, expected at least {LEAST_EPISODES}")
    share = 40 if episodes >= 200 else 5
    return np.arange(episodes) % share == share - 1


def open_recorded(dataset: Dataset, cameras: Sequence[str], size: tuple[int, int], folder: Path) -> Recorded:
    """Open any LeRobot dataset of 30 rows a second; its pictures, in `size` (height, width), are kept in `folder`.

    cameras: which of its cameras are the robot's, in the robot's order. Raises InputError.
    """
    missing = [camera for camera in cameras if camera not in dataset.cameras]
    if missing:
        raise InputError(f"{dataset.folder}: got cameras {list(dataset.cameras)}, expected {missing} too")
    if round(dataset.info.fps, 3) != FPS:
        raise InputError(f"{dataset.folder}: got {dataset.info.fps:g} rows a second, expected {FPS}")
    rows = [dataset.picture_rows(episode) for episode in range(len(dataset))]
    often = [of[::PICTURE_EVERY] if len(of) == length else of for of, length in zip(rows, dataset.lengths, strict=True)]
    rows_digest = hashlib.sha256(dataset.q.tobytes() + dataset.action.tobytes()).hexdigest()[:16]
    kept = folder / f"pictures_{rows_digest}_{'_'.join(cameras)}_{size[1]}x{size[0]}.npy"
    pictures = decoded(dataset, often, cameras, size, kept)
    return Recorded(dataset=dataset, cameras=tuple(cameras), frames=frames_of(dataset, often), pictures=pictures)


def frames_of(dataset: Dataset, rows: Sequence[Ints]) -> Ints:
    """Return the rows of `dataset`, (F,), that are rows (k,) of each episode, from 0."""
    return np.concatenate([dataset.rows(episode).start + of for episode, of in enumerate(rows)])


def decoded(
    dataset: Dataset, rows: Sequence[Ints], cameras: Sequence[str], size: tuple[int, int], path: Path
) -> npt.NDArray[np.uint8]:
    """Return the pictures in `rows` of each episode, (F, cameras, H, W, 3), decoded once and kept at `path`.

    Raises InputError where they cannot be decoded or kept.
    """
    shape = (sum(len(of) for of in rows), len(cameras), *size, 3)
    if not _kept(path, shape, dataset.folder):
        _decode(dataset, rows, cameras, size, path, shape)
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _kept(path: Path, shape: tuple[int, ...], folder: Path) -> bool:
    """Whether `path` holds pictures of this shape, decoded after the last video was written."""
    try:
        if not path.exists() or np.load(path, mmap_mode="r", allow_pickle=False).shape != shape:
            return False
        return all(video.stat().st_mtime <= path.stat().st_mtime for video in folder.glob("videos/**/*.mp4"))
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: got {error}, expected decoded pictures; remove it to decode again") from error


def _decode(
    dataset: Dataset,
    rows: Sequence[Ints],
    cameras: Sequence[str],
    size: tuple[int, int],
    path: Path,
    shape: tuple[int, ...],
) -> None:
    partial = path.with_suffix(f".{os.getpid()}.partial")
    try:
        kept = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)
        done = 0
        for episode, of in enumerate(tqdm(rows, desc="pictures", unit="episode", mininterval=10.0)):
            kept[done : done + len(of)] = dataset.all_pictures(episode, of, size, cameras)
            done += len(of)
        kept.flush()
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise InputError(f"{path}: got {error}, expected room for decoded pictures") from error


def newest_frames(data: Recordings) -> Ints:
    """Return the number of the newest frame at or before each row, (N,); a frame of its own episode."""
    return np.searchsorted(data.frames, np.arange(len(data.q)), side="right") - 1
