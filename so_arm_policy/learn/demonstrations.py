"""Collected demonstrations in memory: datasets of one or more tasks of one robot, side by side.

Beside them may lie datasets of scenes alone, of a policy at work: nothing in them says what an expert would do.

N rows, E episodes, F pictured rows ("frames"), K objects, W stages, n joints. Pictures stay on disk as one array.
"""

import hashlib
import os
from collections.abc import Sequence
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
from so_arm_policy.learn.labels import EXPERT, SCENE
from so_arm_policy.sim.tasks.task import Task

Ints = npt.NDArray[np.int64]
LEAST_EPISODES = 10


@dataclass(frozen=True)
class Source:
    """One task's dataset and its pictures, (F, cameras, H, W, 3) uint8, of the rows frames (F,)."""

    task: Task
    dataset: Dataset
    frames: Ints
    pictures: npt.NDArray[np.uint8]


class Demonstrations:
    """All rows of all sources. episode: (N,) number of each row's; frames: (F,) rows with pictures, ascending.

    demonstrated: (E,) whether an expert did it; rows of other episodes have zeros for the columns EXPERT.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        """Join `sources`. Raises InputError when a column is missing."""
        if not sources:
            raise InputError("demonstrations: got no dataset, expected some; run `so-arm collect` first")
        datasets = [source.dataset for source in sources]
        self.sources = tuple(sources)
        self.tasks = tuple(source.task for source in sources)
        self.q = np.concatenate([d.q for d in datasets]).astype(np.float32)
        self.action = np.concatenate([d.action for d in datasets]).astype(np.float32)
        lengths = np.concatenate([d.lengths for d in datasets])
        self.ends: Ints = np.cumsum(lengths)
        self.starts: Ints = self.ends - lengths
        self.episodes = len(lengths)
        self.episode: Ints = np.repeat(np.arange(self.episodes), lengths)
        self.task_of: Ints = np.repeat(np.arange(len(sources)), [len(d) for d in datasets])
        self.instructions = [text for d in datasets for text in d.instructions]
        offsets = np.cumsum([0, *[len(d.q) for d in datasets]])
        self.frames: Ints = np.concatenate([s.frames + o for s, o in zip(sources, offsets, strict=False)])
        self._frame_ends = np.cumsum([len(source.frames) for source in sources])
        taught = [_demonstrates(dataset) for dataset in datasets]
        if not any(taught):
            raise InputError("demonstrations: got scenes of policies alone, expected demonstrations beside them")
        self.demonstrated = np.repeat(taught, [len(d) for d in datasets])
        self.expert = {name: _expert_column(name, datasets) for name in EXPERT}
        self.scene = {name: np.concatenate([s.dataset.column(name)[s.frames] for s in sources]) for name in SCENE}

    @cached_property
    def digest(self) -> str:
        """Sixteen hex digits that name exactly these rows, labels and instructions."""
        content = hashlib.sha256("\n".join(self.instructions).encode())
        for array in (self.q, self.action, self.frames, *self.expert.values(), *self.scene.values()):
            content.update(np.ascontiguousarray(array).tobytes())
        return content.hexdigest()[:16]

    def pictures(self, frames: Ints) -> npt.NDArray[np.uint8]:
        """Return the pictures of frame numbers `frames` (B,): (B, cameras, H, W, 3)."""
        source = np.searchsorted(self._frame_ends, frames, side="right")
        begins = np.concatenate([[0], self._frame_ends[:-1]])
        return np.stack([self.sources[s].pictures[f - begins[s]] for s, f in zip(source, frames, strict=True)])

    def held_out(self) -> npt.NDArray[np.bool_]:
        """Return which episodes, (E,), are never trained on: one in 40, one in 5 of a few. Raises InputError."""
        if self.episodes < LEAST_EPISODES:
            raise InputError(f"demonstrations: got {self.episodes} episodes, expected at least {LEAST_EPISODES}")
        share = 40 if self.episodes >= 200 else 5
        return np.arange(self.episodes) % share == share - 1

    def normalisation(self) -> tuple[Tensor, Tensor]:
        """Return mean and std of the commands, (n,) rad each; an idle joint counts as 0.05 rad wide."""
        mean, std = self.action.mean(0), np.maximum(self.action.std(0), 0.05)
        return torch.tensor(mean, dtype=torch.float32), torch.tensor(std, dtype=torch.float32)


def _demonstrates(dataset: Dataset) -> bool:
    return EXPERT[0] in dataset.extras


def _expert_column(name: str, datasets: Sequence[Dataset]) -> npt.NDArray[np.generic]:
    """Return column `name` of all rows of all `datasets`, zeros where no expert acted."""
    found = [dataset.column(name) if _demonstrates(dataset) else None for dataset in datasets]
    like = next(column for column in found if column is not None)
    blank = (np.zeros((len(d.q), *like.shape[1:]), like.dtype) for d in datasets)
    return np.concatenate([zeros if column is None else column for column, zeros in zip(found, blank, strict=True)])


def open_source(task: Task, dataset: Dataset, size: tuple[int, int]) -> Source:
    """Open `dataset`, whose pictures are decoded once and kept beside it in `size` (height, width).

    The columns EXPERT may lack all together: then it shows scenes, and demonstrates nothing. Raises InputError when it
    has not the columns of `so-arm collect`, or pictures cannot be decoded or kept.
    """
    needed = (*SCENE, *(EXPERT if any(name in dataset.extras for name in EXPERT) else ()))
    missing = [name for name in needed if name not in dataset.extras]
    if missing:
        raise InputError(f"{dataset.folder}: got columns {dataset.extras}, expected {missing} too, as so-arm collects")
    rows = [dataset.picture_rows(episode) for episode in range(len(dataset))]
    frames = np.concatenate([dataset.rows(e).start + of for e, of in enumerate(rows)])
    path = dataset.folder / f"pictures_{size[1]}x{size[0]}.npy"
    shape = (len(frames), len(dataset.cameras), *size, 3)
    if not _kept(path, shape, dataset.folder):
        _decode(dataset, rows, size, path, shape)
    return Source(task, dataset, frames, np.load(path, mmap_mode="r", allow_pickle=False))


def _kept(path: Path, shape: tuple[int, ...], folder: Path) -> bool:
    """Whether `path` holds pictures of this shape, decoded after the last video was written."""
    try:
        if not path.exists() or np.load(path, mmap_mode="r", allow_pickle=False).shape != shape:
            return False
        return all(video.stat().st_mtime <= path.stat().st_mtime for video in folder.glob("videos/**/*.mp4"))
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: got {error}, expected decoded pictures; remove it to decode again") from error


def _decode(dataset: Dataset, rows: list[Ints], size: tuple[int, int], path: Path, shape: tuple[int, ...]) -> None:
    partial = path.with_suffix(f".{os.getpid()}.partial")
    try:
        kept = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)
        done = 0
        for episode, of in enumerate(tqdm(rows, desc="pictures", unit="episode", mininterval=10.0)):
            kept[done : done + len(of)] = dataset.all_pictures(episode, of, size)
            done += len(of)
        kept.flush()
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise InputError(f"{path}: got {error}, expected room for decoded pictures") from error


def newest_frames(data: Demonstrations) -> Ints:
    """Return the number of the newest frame at or before each row, (N,); a frame of its own episode."""
    return np.searchsorted(data.frames, np.arange(len(data.q)), side="right") - 1
