"""The batches that both systems are trained on from recordings alone: nobody says where things are or what to do.

System 2 learns where the recorded hand went next, and its commands of the next two seconds. System 1 learns the
recorded commands; where its motion begins beside them, it comes back to them within a fraction of a second.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.learn.demonstrations.episode_rows import FPS
from so_arm_policy.learn.demonstrations.keyframes import fingertips, next_places
from so_arm_policy.learn.demonstrations.recordings import Ints, Recordings, newest_frames
from so_arm_policy.learn.lessons.action_batches import STATE_RAD, STOPPED, ActionBatch, aged_frames, context_digest
from so_arm_policy.learn.lessons.asking import Words

AHEAD = 4, 8, 15, 30, 60  # rows after a picture whose commands System 2 says
ON_THE_WAY = 0.5  # of the pictures are of a hand that is farther than this from where it goes next
AWAY_M = 0.05
OTHER_JOINTS = 0.5  # of the pictures come with the joints of another moment
LEAST_RAD = 0.05  # that these commands count as wide
DISTURBED = 0.5  # of the committed motions are not the recorded ones
ASIDE_RAD, FASTER_RAD_S = 0.04, 0.3  # standard deviations of the farthest of these
RETURN_S = 0.15  # in which most of it is gone


@dataclass(frozen=True)
class RecordedScenes:
    """B pictures with what was said and what came of it.

    images: (B, cameras, H, W, 3); words: (B, L); state: (B, n) rad; source, place: (B, 3) m, the hand at the next
    keyframe and at the one after; ahead: (B, A, n), the commands of rows AHEAD less the state, in their standard
    deviations.
    """

    images: Tensor
    words: Tensor
    state: Tensor
    source: Tensor
    place: Tensor
    ahead: Tensor


class RecordedSceneBatches:
    """Draws batches for System 2. ahead_std: (A, n) rad; about: what they follow from, for the checkpoints."""

    def __init__(self, data: Recordings, frames: Ints, words: Words, robot: RobotConfig) -> None:
        """frames: those to draw from."""
        self._data, self._frames, self._words = data, frames, words
        self._source, self._place = (places.astype(np.float32) for places in next_places(data, robot))
        tips = fingertips(robot, data.q[data.frames[frames]].astype(np.float64))
        away = np.linalg.norm(tips - self._source[frames][:, None], axis=-1).min(axis=1) > AWAY_M
        self._away: Ints = frames[away] if away.any() else frames
        row, last = data.frames, data.ends[data.episode[data.frames]] - 1
        at = np.minimum(row[:, None] + np.array(AHEAD), last[:, None])
        ahead = data.action[at] - data.q[row][:, None]
        self.ahead_std = np.maximum(ahead.std(axis=0), LEAST_RAD)
        self._ahead = ahead / self.ahead_std
        self.about = data.digest, len(frames), AHEAD

    def draw(self, rng: np.random.Generator, size: int) -> RecordedScenes:
        """Draw `size` pictures; the light flickers a little.

        Half of them are of moments when the hand has a way to go: near its end, where it goes next is where it is, and
        nothing about the objects is learnt. In half the joints are those of another moment of the episode: told by the
        joints how the motion goes on, a network would not look (causal confusion, de Haan et al., 2019).
        """
        data = self._data
        frames = np.where(rng.random(size) < ON_THE_WAY, rng.choice(self._away, size), rng.choice(self._frames, size))
        frames.sort()
        gain = rng.uniform(0.85, 1.15, (size, 1, 1, 1, 3)).astype(np.float32)
        told = [self._words.text(data.instructions[episode]) for episode in data.episode[data.frames[frames]]]
        arrays = (
            np.clip(data.pictures(frames) * gain, 0.0, 255.0),
            np.stack(told),
            data.q[np.where(rng.random(size) < OTHER_JOINTS, self._moments(frames, rng), data.frames[frames])],
            self._source[frames],
            self._place[frames],
            self._ahead[frames],
        )
        return RecordedScenes(*(torch.from_numpy(array) for array in arrays))

    def _moments(self, frames: Ints, rng: np.random.Generator) -> Ints:
        """Return any rows of the episodes of frames (B,)."""
        episode = self._data.episode[self._data.frames[frames]]
        start, end = self._data.starts[episode], self._data.ends[episode]
        return start + np.floor(rng.random(len(frames)) * (end - start)).astype(np.int64)


class RecordedActionBatches:
    """Draws batches for System 1: a state, a context made some rows before, and the commands that were recorded.

    about: what they follow from, for the checkpoints.
    """

    def __init__(
        self, data: Recordings, episodes: npt.NDArray[np.bool_], context: Tensor, horizon: int, prefix: int
    ) -> None:
        """episodes: (E,) which to draw from; context: (F, N, d), System 2's tokens for every frame."""
        self._data, self._context, self._horizon, self._prefix = data, context, horizon, prefix
        self._rows = np.flatnonzero(episodes[data.episode])
        self._newest = newest_frames(data)
        self.about = "recorded", data.digest, int(episodes.sum()), context_digest(context)

    def draw(self, rng: np.random.Generator, size: int) -> ActionBatch:
        """Draw `size` pairs. After the end of an episode the arm stays where it was told to be last.

        In half of them the committed motion is beside the recorded one, or faster or slower; in one of six the arm has
        just been stopped where it is. What it is off dies away as a critically damped spring would have it.
        """
        data, p = self._data, self._prefix
        row = rng.choice(self._rows, size)
        at = np.minimum(row[:, None] + np.arange(self._horizon), data.ends[data.episode[row]][:, None] - 1)
        positions, state = data.action[at].astype(np.float64), data.q[row].astype(np.float64)
        far = rng.random((size, 1)) ** 2 * (rng.random((size, 1)) < DISTURBED)  # mostly a little
        off, faster = (far * rng.normal(0.0, most, state.shape) for most in (ASIDE_RAD, FASTER_RAD_S))
        before_end_s = (np.arange(p) - (p - 1)) / FPS
        aside = off[:, None] + faster[:, None] * before_end_s[None, :, None]
        state += aside[:, 0] + rng.normal(0.0, STATE_RAD, state.shape)
        given = positions[:, :p] + aside
        stopped = rng.random(size) < STOPPED
        given[stopped] = state[stopped, None]
        velocity = (positions[:, p] - positions[:, p - 1]) * FPS
        off, faster = given[:, -1] - positions[:, p - 1], np.where(stopped[:, None], -velocity, faster)
        rest = positions[:, p:] + dying(off, faster, self._horizon - p)
        frames = aged_frames(data, self._newest[row], row, rng)
        return ActionBatch(
            context=self._context[torch.from_numpy(frames)].float(),
            state=torch.from_numpy(state).float(),
            positions=torch.from_numpy(np.concatenate([given, rest], axis=1)).float(),
        )


def dying(off: FloatArray, velocity: FloatArray, rows: int) -> FloatArray:
    """Return what is left of errors (B, n) rad, that move with (B, n) rad/s, in the next rows: (B, rows, n)."""
    t = (np.arange(1, rows + 1) / FPS)[None, :, None]
    return (off[:, None] + (velocity + off / RETURN_S)[:, None] * t) * np.exp(-t / RETURN_S)
