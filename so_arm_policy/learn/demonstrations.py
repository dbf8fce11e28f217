"""Collected demonstrations in memory, and the batches drawn from them."""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import InputError
from so_arm_policy.core.robot import CameraConfig
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.policy.tokenizer import Tokenizer
from so_arm_policy.sim.language import FOUNDATION_REACH
from so_arm_policy.sim.law import Plan, rollout
from so_arm_policy.sim.model import overhead_pixel

ROW_TICKS = 4
FIELDS = ("images", "frame_rows", "q", "reference", "velocity", "hover", "touch", "cubes", "colors")
Arrays = dict[str, npt.NDArray[Any]]


class Demonstrations:
    """All shards of a folder. E episodes, F pictured rows of T rows, K cubes, n joints."""

    def __init__(self, arrays: Arrays) -> None:
        """arrays: FIELDS by name; images (E, F, cameras, H, W, 3), frame_rows (E, F), q (E, T, n), hover (E, K, n)."""
        self.arrays = arrays
        self.episodes, self.rows = arrays["q"].shape[:2]
        self.frames = arrays["frame_rows"].shape[1]
        self.cubes = arrays["cubes"].shape[1]

    @classmethod
    def load(cls, paths: Sequence[Path]) -> "Demonstrations":
        """Read shards. Raises InputError that names the file."""
        if not paths:
            raise InputError("demonstrations: got no shard, expected some; run `so-arm collect` first")
        parts = [_read_shard(path) for path in paths]
        return cls({name: np.concatenate([part[name] for part in parts]) for name in FIELDS})

    def split(self, held_out: int) -> tuple["Demonstrations", "Demonstrations"]:
        """Return all but the last `held_out` episodes, and those."""
        at = self.episodes - held_out
        first = {name: array[:at] for name, array in self.arrays.items()}
        return Demonstrations(first), Demonstrations({name: array[at:] for name, array in self.arrays.items()})

    def normalisation(self) -> tuple[Tensor, Tensor]:
        """Return mean and std of the commands, (n,) rad each; an idle joint counts as 0.05 rad wide."""
        reference = self.arrays["reference"]
        mean, std = reference.mean((0, 1)), np.maximum(reference.std((0, 1)), 0.05)
        return torch.tensor(mean, dtype=torch.float32), torch.tensor(std, dtype=torch.float32)


@dataclass(frozen=True)
class SceneBatch:
    """Pictures with every cube of theirs asked for. images: (B, cameras, H, W, 3); the rest has B * K rows."""

    images: Tensor
    words: Tensor
    state: Tensor
    place: Tensor
    patch: Tensor


class SceneBatches:
    """Draws batches for the grounding of System 2."""

    def __init__(self, data: Demonstrations, tokenizer: Tokenizer, camera: CameraConfig, grid: tuple[int, int]) -> None:
        """camera: the overhead one, whose patches (grid rows, columns) the pointer is taught with."""
        self._data, self._grid = data, grid
        self.words = instruction_words(data, tokenizer)
        pixel = overhead_pixel(camera, data.arrays["cubes"])
        cell = np.clip((pixel * np.array([grid[1], grid[0]])).astype(np.int64), 0, np.array([grid[1], grid[0]]) - 1)
        self._patch = cell[..., 1] * grid[1] + cell[..., 0]

    def at(
        self, episodes: npt.NDArray[np.int64], frames: npt.NDArray[np.int64], phrases: npt.NDArray[np.int64]
    ) -> SceneBatch:
        """Return the batch of (episode, frame) pairs (B,); phrases: (B, K), how each cube is asked for."""
        a, k = self._data.arrays, self._data.cubes
        state = a["q"][episodes, a["frame_rows"][episodes, frames]]
        words = self.words[episodes[:, None], np.arange(k)[None], phrases]
        return SceneBatch(
            images=torch.from_numpy(a["images"][episodes, frames]),
            words=torch.from_numpy(words.reshape(len(episodes) * k, -1)),
            state=torch.from_numpy(np.repeat(state, k, axis=0)).float(),
            place=torch.from_numpy(a["cubes"][episodes].reshape(-1, 3)).float(),
            patch=torch.from_numpy(self._patch[episodes].reshape(-1)),
        )

    def draw(self, rng: np.random.Generator, size: int) -> SceneBatch:
        """Draw `size` pictures, each asked for all its cubes; the light flickers a little."""
        episodes, frames = rng.integers(self._data.episodes, size=size), rng.integers(self._data.frames, size=size)
        batch = self.at(episodes, frames, rng.integers(len(FOUNDATION_REACH.train), size=(size, self._data.cubes)))
        gain = torch.from_numpy(rng.uniform(0.85, 1.15, (size, 1, 1, 1, 3)).astype(np.float32))
        images = (batch.images.float() * gain).clamp(0.0, 255.0)
        return SceneBatch(images, batch.words, batch.state, batch.place, batch.patch)


@dataclass(frozen=True)
class ActionBatch:
    """context: (B, N, d) tokens; state: (B, n) rad; positions: (B, H, n) rad, row 0 at the observation."""

    context: Tensor
    state: Tensor
    positions: Tensor


class ActionBatches:
    """Draws batches for System 1: a state, a context made some rows before, and what the expert would do."""

    def __init__(self, data: Demonstrations, context: Tensor, horizon: int, prefix: int) -> None:
        """context: (E, F, K, N, d), System 2's tokens for every picture and cube."""
        self._data, self._context, self._horizon, self._prefix = data, context, horizon, prefix

    def draw(self, rng: np.random.Generator, size: int) -> ActionBatch:
        """Draw `size` pairs; in one of six the arm has just been stopped where it is.

        In half of the others the committed motion is not the expert's: moved a little, faster, slower or sideways.
        That is what a policy meets that follows its own chunks, and the law says how to get back from there.
        """
        a, p = self._data.arrays, self._prefix
        episode = rng.integers(self._data.episodes, size=size)
        row = rng.integers(self._data.rows - p, size=size)
        cube = rng.integers(self._data.cubes, size=size)
        seen = (a["frame_rows"][episode] <= row[:, None]).sum(1)
        frame = rng.integers(seen)  # any picture taken until now: contexts of all ages
        state = a["q"][episode, row] + rng.normal(0.0, 0.005, (size, a["q"].shape[-1]))
        given = np.stack([a["reference"][episode, row + i] for i in range(p)], axis=1)
        velocity = a["velocity"][episode, row + p - 1]
        self._disturb(given, velocity, rng)
        stopped = rng.random(size) < 1 / 6
        given[stopped], velocity[stopped] = state[stopped, None], 0.0
        plan = Plan.one(a["hover"][episode, cube], a["touch"][episode, cube])
        rest = rollout(given[:, -1], velocity, 0, plan, self._horizon - p, ROW_TICKS)
        return ActionBatch(
            context=self._context[episode, frame, cube].float(),
            state=torch.from_numpy(state).float(),
            positions=torch.from_numpy(np.concatenate([given, rest], axis=1)).float(),
        )

    def _disturb(self, given: FloatArray, velocity: FloatArray, rng: np.random.Generator) -> None:
        """Change half of the committed motions (B, P, n) and the velocities at their ends (B, n), in place."""
        size, p, joints = given.shape
        chosen = rng.random((size, 1)) < 0.5
        extra = chosen * rng.normal(0.0, 0.25, (size, joints)) * rng.random((size, 1))
        before_end_s = (np.arange(p) - (p - 1)) * ROW_TICKS / CONTROL_HZ
        given += extra[:, None] * before_end_s[None, :, None]
        given += (chosen * rng.normal(0.0, 0.015, (size, joints)))[:, None]
        velocity += extra


def instruction_words(data: Demonstrations, tokenizer: Tokenizer) -> npt.NDArray[np.int64]:
    """Return the tokens of every phrase for every cube, (E, K, phrases, L)."""
    colors = data.arrays["colors"]
    phrases = FOUNDATION_REACH.train
    said = {str(c): [p.format(object=f"{c} cube") for p in phrases] for c in np.unique(colors)}
    table = {color: np.stack([tokenizer.encode(text) for text in texts]) for color, texts in said.items()}
    return np.stack([np.stack([table[str(c)] for c in row]) for row in colors])


def _read_shard(path: Path) -> Arrays:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in FIELDS}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: got {error}, expected a shard with {list(FIELDS)}") from error
