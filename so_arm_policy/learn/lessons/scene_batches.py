"""The batches that System 2 is trained on: pictures of demonstrations, each asked several things."""

import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.objects import KINDS
from so_arm_policy.learn.demonstrations.labelled import Demonstrations
from so_arm_policy.learn.demonstrations.labels import ABSENT
from so_arm_policy.learn.demonstrations.recordings import Ints
from so_arm_policy.learn.lessons.asking import Words, answer, draw_question
from so_arm_policy.robot.description import load_robot
from so_arm_policy.sim.goal import PLACES
from so_arm_policy.sim.hand_view import hand_pixels
from so_arm_policy.sim.tasks.task import Task

NO_COLOR = NOWHERE = -100  # what torch's cross entropy leaves out


@dataclass(frozen=True)
class SceneBatch:
    """B pictures, each asked A things. images: (B, cameras, H, W, 3); the rest has B * A rows but the last two.

    words: (L,) each; state: (n,) rad; source, place: (3,) m, where the object is and where it should go; patches: (3,)
    numbers of the patches that show them in the overhead picture, and the object in a hand camera's, or NOWHERE; roll:
    cosine, sine, and 1 where they count; progress: ().
    wanted: (2, 2) names of that object and of where it should go. shown: (B, K + 2) patch that shows each object and
    place; names: (B, K + 2, 2) their names: numbers of colour and kind, where a place is of no colour (NO_COLOR) and of
    a kind of its own after those of objects; NOWHERE for what the overhead picture does not show.
    """

    images: Tensor
    words: Tensor
    state: Tensor
    source: Tensor
    place: Tensor
    patches: Tensor
    roll: Tensor
    progress: Tensor
    wanted: Tensor
    shown: Tensor
    names: Tensor


class SceneBatches:
    """Draws batches for System 2. about: what they follow from, for the checkpoints."""

    def __init__(
        self,
        data: Demonstrations,
        frames: Ints,
        words: Words,
        grid: tuple[int, int],
        *,
        tasks: tuple[Task, ...] = (),
        asked: int = 4,
        held_out: bool = False,
    ) -> None:
        """frames: those to draw from; grid: rows and columns of patches of a picture; asked: A.

        tasks: those to ask about, by default those demonstrated. Any picture can be asked about any task. held_out: ask
        in the phrases that no training sees.
        """
        self._data, self._frames, self._words, self._asked = data, frames, words, asked
        self._held_out = held_out
        self._tasks = tasks or data.tasks
        said = zlib.crc32(repr([task.phrasings.train for task in self._tasks]).encode())
        self.about = data.digest, len(frames), asked, tuple(task.name for task in self._tasks), said
        pixels = data.scene["scene.pixels"]
        self._patches = patches_at(pixels, grid)
        self._hand = hand_patches(data, frames, grid)
        names: Ints = data.scene["scene.names"]
        self._places = (pixels[:, names.shape[1] :] != ABSENT).any(axis=-1).sum(axis=-1)
        places = [[NO_COLOR, len(KINDS) + i] for i in range(len(PLACES))]
        self._names: Ints = np.concatenate([names, np.broadcast_to(places, (len(names), len(PLACES), 2))], axis=1)
        self._names[self._patches == NOWHERE] = NOWHERE

    def draw(self, rng: np.random.Generator, size: int) -> SceneBatch:
        """Draw `size` pictures; the light flickers a little."""
        frames = np.sort(rng.choice(self._frames, size))
        gain = rng.uniform(0.85, 1.15, (size, 1, 1, 1, 3)).astype(np.float32)
        images = np.clip(self._data.pictures(frames) * gain, 0.0, 255.0)
        rows = [self._ask(int(frame), rng) for frame in frames for _ in range(self._asked)]
        state = np.repeat(self._data.q[self._data.frames[frames]], self._asked, axis=0)
        columns = [torch.from_numpy(np.stack(column)) for column in zip(*rows, strict=True)]
        words, source, place, patches, roll, progress, wanted = columns
        return SceneBatch(
            images=torch.from_numpy(images),
            words=words,
            state=torch.from_numpy(state),
            source=source,
            place=place,
            patches=patches,
            roll=roll,
            progress=progress,
            wanted=wanted,
            shown=torch.from_numpy(np.maximum(self._patches[frames], 0)),
            names=torch.from_numpy(self._names[frames]),
        )

    def _ask(self, frame: int, rng: np.random.Generator) -> tuple[npt.NDArray[np.generic], ...]:
        scene = {name: column[frame] for name, column in self._data.scene.items()}
        objects, places = scene["scene.objects"], scene["scene.places"]
        places_there = int(self._places[frame])
        question = draw_question(rng, self._tasks, len(objects), places_there, held_out=self._held_out)
        said = answer(question, scene["scene.rests_in"])
        at = said.object if said.place is None else len(objects) + said.place
        return (
            self._words.of(question, scene["scene.names"]),
            objects[said.object],
            objects[said.object] if said.place is None else places[said.place],
            np.append(self._patches[frame, [said.object, at]], self._hand[frame, said.object]),
            scene["scene.roll"][said.object],
            np.array(said.progress),
            self._names[frame, [said.object, at]],
        )


def patches_at(pixels: FloatArray, grid: tuple[int, int]) -> Ints:
    """Return the numbers of the patches, of one picture, at pixels (..., 2), column and row in 0..1; else NOWHERE."""
    shown = np.asarray(((pixels >= 0.0) & (pixels < 1.0)).all(axis=-1))  # not where NaN
    cell = (np.where(shown[..., None], pixels, 0.0) * [grid[1], grid[0]]).astype(np.int64)
    return np.where(shown, cell[..., 1] * grid[1] + cell[..., 0], NOWHERE)


def hand_patches(data: Demonstrations, frames: Ints, grid: tuple[int, int]) -> Ints:
    """Return which patch of a hand camera, of all cameras' patches, shows each object: (F, K), NOWHERE where none does.

    Where several do, it is the first one's. Only of `frames`; the overhead camera is the first of all.
    """
    patches = np.full(data.scene["scene.objects"].shape[:2], NOWHERE)
    q, objects = data.q[data.frames[frames]].astype(np.float64), data.scene["scene.objects"][frames]
    pixels = hand_pixels(load_robot(data.tasks[0].robot), q, objects)
    for camera in reversed(range(pixels.shape[1])):
        at = patches_at(pixels[:, camera], grid)
        patches[frames] = np.where(at != NOWHERE, (camera + 1) * grid[0] * grid[1] + at, patches[frames])
    return patches
