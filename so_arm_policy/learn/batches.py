"""The batches that both systems are trained on, drawn from demonstrations."""

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.learn.asking import Words, answer, draw_question
from so_arm_policy.learn.collect import ROW_TICKS
from so_arm_policy.learn.demonstrations import Demonstrations, Ints, newest_frames
from so_arm_policy.robot.description import load_robot
from so_arm_policy.sim.goal import PLACES
from so_arm_policy.sim.hand_view import hand_pixels
from so_arm_policy.sim.law import MAX_SPEED, Plan, rollout
from so_arm_policy.sim.objects import KINDS
from so_arm_policy.sim.tasks.task import Task

MOST_AGE_ROWS = 15  # of a context, when it is not the newest: half a second
OLDER = 0.3  # of the contexts are not the newest
STOPPED = 1 / 6  # of the states begin anew at rest, as after a hold
SAMPLED = 64  # frames whose tokens tell one context from another
NO_COLOR = NOWHERE = -100  # what torch's cross entropy leaves out
ALIKE = 0.5  # of the contexts are of any moment when all things were where they are now, wherever the arm was
STILL_M = 0.002  # that a thing may move meanwhile
DISTURBED = 0.5  # of the committed motions are not the expert's
ASIDE_RAD, FASTER_RAD_S = 0.12, 1.0  # standard deviations of the farthest of these
ELSEWHERE = 0.5  # of the first stages of plans are begun from where the arm was in another episode


@dataclass(frozen=True)
class SceneBatch:
    """B pictures, each asked A things. images: (B, cameras, H, W, 3); the rest has B * A rows but the last two.

    words: (L,) each; state: (n,) rad; source, place: (3,) m, where the object is and where it should go; patches: (3,)
    numbers of the patches that show them in the overhead picture, and the object in a hand camera's, or NOWHERE; roll:
    cosine, sine, and 1 where they count; progress: ().
    wanted: (2, 2) names of that object and of where it should go. shown: (B, K + 2) patch that shows each object and
    place; names: (B, K + 2, 2) their names: numbers of colour and kind, where a place is of no colour (NO_COLOR) and of
    a kind of its own after those of objects.
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
    ) -> None:
        """frames: those to draw from; grid: rows and columns of patches of a picture; asked: A.

        tasks: those to ask about, by default those demonstrated. Any picture can be asked about any task.
        """
        self._data, self._frames, self._words, self._asked = data, frames, words, asked
        self._tasks = tasks or data.tasks
        self.about = data.digest, len(frames), asked, tuple(task.name for task in self._tasks)
        self._patches = patches_at(data.scene["scene.pixels"], grid)
        self._hand = hand_patches(data, frames, grid)
        places = [[NO_COLOR, len(KINDS) + i] for i in range(len(PLACES))]
        names: Ints = data.scene["scene.names"]
        self._names: Ints = np.concatenate([names, np.broadcast_to(places, (len(names), len(PLACES), 2))], axis=1)

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
            shown=torch.from_numpy(self._patches[frames]),
            names=torch.from_numpy(self._names[frames]),
        )

    def _ask(self, frame: int, rng: np.random.Generator) -> tuple[npt.NDArray[np.generic], ...]:
        scene = {name: column[frame] for name, column in self._data.scene.items()}
        objects, places = scene["scene.objects"], scene["scene.places"]
        question = draw_question(rng, self._tasks, len(objects))
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
    """Return the numbers of the patches, of one picture, nearest to pixels (..., 2), column and row in 0..1."""
    size = np.array([grid[1], grid[0]])
    cell = np.clip((pixels * size).astype(np.int64), 0, size - 1)
    return np.asarray(cell[..., 1] * grid[1] + cell[..., 0])


def hand_patches(data: Demonstrations, frames: Ints, grid: tuple[int, int]) -> Ints:
    """Return which patch of a hand camera, of all cameras' patches, shows each object: (F, K), NOWHERE where none does.

    Where several do, it is the first one's. Only of `frames`; the overhead camera is the first of all.
    """
    patches = np.full(data.scene["scene.objects"].shape[:2], NOWHERE)
    q, objects = data.q[data.frames[frames]].astype(np.float64), data.scene["scene.objects"][frames]
    pixels = hand_pixels(load_robot(data.tasks[0].robot), q, objects)
    for camera in reversed(range(pixels.shape[1])):
        of = pixels[:, camera]
        shown = ((of >= 0.0) & (of < 1.0)).all(axis=-1)  # not where NaN
        at = np.where(shown, (camera + 1) * grid[0] * grid[1] + patches_at(np.nan_to_num(of), grid), patches[frames])
        patches[frames] = at
    return patches


@dataclass(frozen=True)
class ActionBatch:
    """context: (B, N, d) tokens; state: (B, n) rad; positions: (B, H, n) rad, row 0 at the observation."""

    context: Tensor
    state: Tensor
    positions: Tensor


class ActionBatches:
    """Draws batches for System 1: a state, a context made some rows before, and what the expert would do.

    about: what they follow from, for the checkpoints.
    """

    def __init__(
        self, data: Demonstrations, episodes: npt.NDArray[np.bool_], context: Tensor, horizon: int, prefix: int
    ) -> None:
        """episodes: (E,) which to draw from; context: (F, N, d), System 2's tokens for every frame."""
        self._data, self._context, self._horizon, self._prefix = data, context, horizon, prefix
        usable = (np.arange(len(data.q)) <= data.ends[data.episode] - prefix) & episodes[data.episode]
        task = data.task_of[data.episode]
        rows = np.flatnonzero(usable)
        self._first = rows[data.expert["expert.stage"][rows + prefix - 1] == 0]
        # Every task as often as the others, however long its episodes are.
        self._rows = [rows for i in range(len(data.tasks)) if len(rows := np.flatnonzero(usable & (task == i)))]
        self._newest = newest_frames(data)
        self._still = still_frames(data)
        some = context[:: max(1, len(context) // SAMPLED)].contiguous().numpy().tobytes()
        self.about = data.digest, int(episodes.sum()), hashlib.sha256(some).hexdigest()[:16]

    def draw(self, rng: np.random.Generator, size: int) -> ActionBatch:
        """Draw `size` pairs; in one of six the arm has just been stopped where it is.

        In half of the others the committed motion is not the expert's: moved a little, sometimes far, faster, slower or
        sideways, and the arm with it. That is what a policy meets that follows its own chunks, and the law says how to
        get back from there. Nothing else may tell where the expert was: half of the contexts are of another moment, and
        half of the ways to an object begin where the arm was on its way to another one.
        """
        data, p = self._data, self._prefix
        rows = [self._rows[i] for i in rng.integers(len(self._rows), size=size)]
        row = np.array([one[rng.integers(len(one))] for one in rows])
        last = row + p - 1
        stage = data.expert["expert.stage"][last]
        elsewhere = (stage == 0) & (rng.random(size) < ELSEWHERE)
        at = np.where(elsewhere, rng.choice(self._first, size), row)
        given = np.stack([data.action[at + i] for i in range(p)], axis=1).astype(np.float64)
        lag = data.q[at] - given[:, 0] + rng.normal(0.0, 0.005, (size, data.q.shape[-1]))
        velocity = data.expert["expert.velocity"][at + p - 1].astype(np.float64)
        _disturb(given, velocity, rng)
        state = given[:, 0] + lag  # the arm follows what was committed, wherever that is
        stopped = rng.random(size) < STOPPED
        given[stopped], velocity[stopped] = state[stopped, None], 0.0
        plan = Plan(*(data.expert[f"expert.{name}"][last] for name in ("via", "goal", "tolerance")))
        rest = rollout(given[:, -1], velocity, stage, plan, self._horizon - p, ROW_TICKS)
        return ActionBatch(
            context=self._context[torch.from_numpy(self._frames(row, rng))].float(),
            state=torch.from_numpy(state).float(),
            positions=torch.from_numpy(np.concatenate([given, rest], axis=1)).float(),
        )

    def _frames(self, row: Ints, rng: np.random.Generator) -> Ints:
        """Return the frame that the context of each row is made from: mostly the newest, sometimes an older one."""
        data, newest = self._data, self._newest[row]
        oldest = np.searchsorted(data.frames, np.maximum(row - MOST_AGE_ROWS, data.starts[data.episode[row]]))
        older = newest - np.floor(rng.random(len(row)) * (np.maximum(newest - oldest, 0) + 1)).astype(np.int64)
        aged = np.where(rng.random(len(row)) < OLDER, np.maximum(older, np.minimum(oldest, newest)), newest)
        first, count = self._still[newest].T
        alike = first + np.floor(rng.random(len(row)) * count).astype(np.int64)
        return np.where(rng.random(len(row)) < ALIKE, alike, aged)


def still_frames(data: Demonstrations) -> Ints:
    """Return for each frame the first one, and the number, of those around it in which all things are where they are.

    (F, 2). Frames of one episode.
    """
    places, episode = data.scene["scene.objects"], data.episode[data.frames]
    begins = [0]
    for frame in range(1, len(places)):
        begin = begins[-1]
        if episode[frame] != episode[begin] or np.abs(places[frame] - places[begin]).max() > STILL_M:
            begins.append(frame)
    counts = np.diff([*begins, len(places)])
    return np.stack([np.repeat(begins, counts), np.repeat(counts, counts)], axis=1)


def _disturb(given: FloatArray, velocity: FloatArray, rng: np.random.Generator) -> None:
    """Change half of the committed motions (B, P, n) and the velocities at their ends (B, n), in place."""
    size, p, joints = given.shape
    far = rng.random((size, 1)) ** 2 * (rng.random((size, 1)) < DISTURBED)  # mostly a little
    faster = np.clip(velocity + far * rng.normal(0.0, FASTER_RAD_S, (size, joints)), -MAX_SPEED, MAX_SPEED)
    before_end_s = (np.arange(p) - (p - 1)) * ROW_TICKS / CONTROL_HZ
    given += (faster - velocity)[:, None] * before_end_s[None, :, None]
    given += (far * rng.normal(0.0, ASIDE_RAD, (size, joints)))[:, None]
    velocity[:] = faster
