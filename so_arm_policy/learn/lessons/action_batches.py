"""The batches that System 1 is trained on: where a motion stands, and what the expert would do from there.

An expert never errs, so its own rows alone teach a policy nothing about its own errors. Here a motion begins beside the
expert's way, at rest, from where the arm was in another episode, or with a hand that has closed on nothing; the law of
motion says how to go on from any of these.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from so_arm_policy.control.grasp import SQUEEZE_RAD
from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import InputError
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.learn.demonstrations.episode_rows import ROW_TICKS
from so_arm_policy.learn.demonstrations.labelled import Demonstrations
from so_arm_policy.learn.demonstrations.recordings import Ints, Recordings, newest_frames
from so_arm_policy.robot.description import load_robot
from so_arm_policy.sim.law import MAX_SPEED, Plan, Stages, rollout

MOST_AGE_ROWS = 15  # of a context, when it is not the newest: half a second
OLDER = 0.3  # of the contexts are not the newest
STOPPED = 1 / 6  # of the states begin anew at rest, as after a hold
SAMPLED = 64  # frames whose tokens tell one context from another
ALIKE = 0.5  # of the contexts are of any moment when all things were where they are now, wherever the arm was
STILL_M = 0.002  # that a thing may move meanwhile
DISTURBED = 0.5  # of the committed motions are not the expert's
ASIDE_RAD, FASTER_RAD_S = 0.12, 1.0  # standard deviations of the farthest of these
ELSEWHERE = 0.35  # of the ways to an object begin where the arm was in another episode
MISSED = 0.15  # of them begin with a hand that has closed beside the object, or is lifted without it
MISSED_RAD = 0.05  # standard deviation of where it closed
CLOSING = 0.15  # of the first two ways begin around their end with the hand half closed
CLOSING_RAD = 0.08  # standard deviation of the farthest of these
CLOSES_WITHIN_RAD = 0.05  # closer than this they go on closing; else they open and come again
LATE = 0.2  # of all ways begin where the arm was up to so many rows before, while things moved on
MOST_LATE_ROWS = 30
RISEN = 0.1  # of the last way of a plan: from there on, the next plan counts
STATE_RAD = 0.005  # standard deviation of what joints are measured wrong


@dataclass(frozen=True)
class ActionBatch:
    """context: (B, N, d) tokens; state: (B, n) rad; positions: (B, H, n) rad, row 0 at the observation."""

    context: Tensor
    state: Tensor
    positions: Tensor


@dataclass(frozen=True)
class Motions:
    """Where B motions stand, to be changed in place.

    given: (B, P, n) rad, rows that are committed; velocity: (B, n) rad/s at their ends; lag: (B, n) rad, how far
    measured joints are from the first of these rows.
    """

    given: FloatArray
    velocity: FloatArray
    lag: FloatArray


class ActionBatches:
    """Draws batches for System 1: a state, a context made some rows before, and what the expert would do.

    about: what they follow from, for the checkpoints.
    """

    def __init__(
        self, data: Demonstrations, episodes: npt.NDArray[np.bool_], context: Tensor, horizon: int, prefix: int
    ) -> None:
        """episodes: (E,) which to draw from; context: (F, N, d), System 2's tokens for every frame."""
        self._data, self._context, self._horizon, self._prefix = data, context, horizon, prefix
        whole = np.arange(len(data.q)) <= data.ends[data.episode] - prefix
        usable = whole & (episodes & data.demonstrated)[data.episode]
        self._anywhere: Ints = np.flatnonzero(usable)
        task = data.task_of[data.episode[self._anywhere]]
        # Every task as often as the others, however long its episodes are.
        of_tasks = [self._anywhere[task == i] for i in range(len(data.tasks))]
        self._rows = [rows for rows in of_tasks if len(rows)]
        if not self._rows:
            raise InputError(f"demonstrations: got none of {prefix} rows to train on, expected some")
        names = load_robot(data.tasks[0].robot).joint_names
        self._grippers = [i for i, name in enumerate(names) if name.endswith("gripper")]
        self._newest = newest_frames(data)
        self._still = still_frames(data)
        self._onward = onward_rows(data.expert, data.action, data.episode)
        self.about = data.digest, int(episodes.sum()), context_digest(context)

    def draw(self, rng: np.random.Generator, size: int) -> ActionBatch:
        """Draw `size` pairs; in one of six the arm has just been stopped where it is.

        In half of the others the committed motion is not the expert's: moved a little, sometimes far, faster, slower or
        sideways, and the arm with it. That is what a policy meets that follows its own chunks, and the law says how to
        get back from there. Nothing else may tell where the expert was: half of the contexts are of another moment, and
        many ways to an object begin where this episode's expert never was.
        """
        data, p = self._data, self._prefix
        rows = [self._rows[i] for i in rng.integers(len(self._rows), size=size)]
        row = np.array([one[rng.integers(len(one))] for one in rows])
        onward = self._onward[row + p - 1]
        stage: Stages = data.expert["expert.stage"][onward]
        plan = Plan(*(data.expert[f"expert.{name}"][onward] for name in ("via", "goal", "tolerance")))
        begun, stage = self._begin(row, stage, plan, rng)
        _disturb(begun.given, begun.velocity, rng)
        stage = np.where((stage == 1) & self._empty_beside(begun, plan), 0, stage)
        state = begun.given[:, 0] + begun.lag  # the arm follows what was committed, wherever that is
        stopped = rng.random(size) < STOPPED
        begun.given[stopped], begun.velocity[stopped] = state[stopped, None], 0.0
        rest = rollout(begun.given[:, -1], begun.velocity, stage, plan, self._horizon - p, ROW_TICKS)
        return ActionBatch(
            context=self._context[torch.from_numpy(self._frames(row, rng))].float(),
            state=torch.from_numpy(state).float(),
            positions=torch.from_numpy(np.concatenate([begun.given, rest], axis=1)).float(),
        )

    def _begin(self, row: Ints, stage: Stages, plan: Plan, rng: np.random.Generator) -> tuple[Motions, Stages]:
        """Return motions and stages at rows (B,); most ways to objects begin as this episode's expert never did.

        A hand with something in it lags behind its command by SQUEEZE_RAD or a little less, since the object stops it:
        in these it is empty.
        """
        data, size = self._data, len(row)
        kind = np.searchsorted(np.cumsum([ELSEWHERE, MISSED, CLOSING, LATE]), rng.random(size), side="right")
        closes = np.abs(plan.goal[:, 1] - plan.goal[:, 0])[:, self._grippers].max(axis=-1) > SQUEEZE_RAD
        elsewhere, missed, closing, late = (kind == i for i in range(4))
        elsewhere &= stage == 0
        missed &= (stage == 0) & closes
        closing &= (stage <= 1) & closes
        at = np.select([elsewhere, late], [rng.choice(self._anywhere, size), rows_before(data, row, rng)], row)
        given = np.stack([data.action[at + i] for i in range(self._prefix)], axis=1).astype(np.float64)
        velocity = data.expert["expert.velocity"][at + self._prefix - 1].astype(np.float64)
        lag = data.q[at] - given[:, 0]
        given[missed], velocity[missed] = closed_on_nothing(plan, rng)[missed, None], 0.0
        given[closing], velocity[closing] = self._half_closed(plan, rng)[closing, None], 0.0
        lag[np.ix_(elsewhere | missed | closing, self._grippers)] = 0.0
        return Motions(given, velocity, lag + rng.normal(0.0, STATE_RAD, lag.shape)), np.where(closing, 1, stage)

    def _half_closed(self, plan: Plan, rng: np.random.Generator) -> FloatArray:
        """Return poses (B, n) rad around where hands should close, half closed."""
        open_, shut = plan.goal[:, 0].astype(np.float64), plan.goal[:, 1].astype(np.float64)
        aside = CLOSING_RAD * rng.random((len(open_), 1)) * rng.normal(0.0, 1.0, open_.shape)
        aside[:, self._grippers] = 0.0
        until = np.clip(1.0 - SQUEEZE_RAD / np.maximum(np.abs(shut - open_), 1e-9), 0.0, 1.0)
        return open_ + rng.random((len(open_), 1)) * until * (shut - open_) + aside

    def _empty_beside(self, begun: Motions, plan: Plan) -> npt.NDArray[np.bool_]:
        """Whether hands (B,) have nothing in them and are too far from where plans close them."""
        off = np.abs(begun.given[:, -1] - plan.goal[:, 1])
        off[:, self._grippers] = 0.0
        empty = np.abs(begun.lag[:, self._grippers]).max(axis=-1) < SQUEEZE_RAD / 3
        return np.asarray(empty & (off.max(axis=-1) > CLOSES_WITHIN_RAD))

    def _frames(self, row: Ints, rng: np.random.Generator) -> Ints:
        """Return the frame that the context of each row is made from: of any age, or of any moment alike."""
        newest = self._newest[row]
        aged = aged_frames(self._data, newest, row, rng)
        first, count = self._still[newest].T
        alike = first + np.floor(rng.random(len(row)) * count).astype(np.int64)
        return np.where(rng.random(len(row)) < ALIKE, alike, aged)


def context_digest(context: Tensor) -> str:
    """Return sixteen hex digits that tell one System 2's tokens (F, N, d) from another's."""
    some = context[:: max(1, len(context) // SAMPLED)].contiguous().numpy().tobytes()
    return hashlib.sha256(some).hexdigest()[:16]


def aged_frames(data: Recordings, newest: Ints, row: Ints, rng: np.random.Generator) -> Ints:
    """Return frames for the contexts of rows (B,): mostly the newest (B,), sometimes an older one."""
    oldest = np.searchsorted(data.frames, np.maximum(row - MOST_AGE_ROWS, data.starts[data.episode[row]]))
    older = newest - np.floor(rng.random(len(row)) * (np.maximum(newest - oldest, 0) + 1)).astype(np.int64)
    return np.where(rng.random(len(row)) < OLDER, np.maximum(older, np.minimum(oldest, newest)), newest)


def rows_before(data: Demonstrations, row: Ints, rng: np.random.Generator) -> Ints:
    """Return rows before rows (B,) on the same way to an object; where there is none, the rows themselves."""
    stage = data.expert["expert.stage"]
    before = np.maximum(row - rng.integers(1, MOST_LATE_ROWS + 1, len(row)), data.starts[data.episode[row]])
    return np.where((stage[before] == 0) & (stage[row] == 0), before, row)


def closed_on_nothing(plan: Plan, rng: np.random.Generator) -> FloatArray:
    """Return poses, (B, n) rad, of hands that followed plans (B,) and missed: where they close, up to where they lift.

    The first way of such a plan leads to an object, the second one closes the hand, the third one lifts.
    """
    grip, lift = plan.goal[:, 1].astype(np.float64), plan.goal[:, 2].astype(np.float64)
    along = rng.random((len(grip), 1)) ** 2  # mostly low
    return grip + along * (lift - grip) + rng.normal(0.0, MISSED_RAD, grip.shape)


def onward_rows(expert: Mapping[str, npt.NDArray[Any]], action: npt.NDArray[np.float32], episode: Ints) -> Ints:
    """Return for each row, (N,), the row whose plan and stage say how to go on: mostly itself.

    An expert that has let go of one object goes home before it goes for the next one. On the last way of a plan, once
    it has risen, that next plan counts instead: near home, whether to stay or to go would depend on nothing a policy
    sees.
    """
    stage, via, goal = (expert[f"expert.{name}"] for name in ("stage", "via", "goal"))
    rows = np.arange(len(stage))
    last = np.abs(np.take_along_axis(goal, stage[:, None, None], axis=1)[:, 0] - goal[:, -1]).max(axis=-1) < 1e-6
    line = goal[:, -1] - via[:, -1]
    along = ((action - via[:, -1]) * line).sum(axis=-1) / np.maximum((line * line).sum(axis=-1), 1e-9)
    leaving = last & (stage > 0) & (along > RISEN)
    same = episode[1:] == episode[:-1]
    for row in np.flatnonzero(leaving[:-1] & (stage[1:] == 0) & same):
        begin = row
        while begin > 0 and leaving[begin - 1] and episode[begin - 1] == episode[row]:
            begin -= 1
        rows[begin : row + 1] = row + 1
    return rows


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
