"""The law of the scripted experts: how the reference moves next, from any pose in any stage of a plan.

A plan is a row of stages, each a way in joint space: aim at `via` while far from the line from there to `goal`, then
ever further along it. The law depends only on the present reference, its velocity and the stage, so that it can label
any state; speed and acceleration are bounded. Everything works on any leading shape, with a plan for each state or one
for all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.timegrid import CONTROL_HZ

ALONG_WITHIN_RAD = 0.15
MAX_SPEED = 1.6  # rad/s, of the fastest joint
ACCELERATION = 8.0  # rad/s^2
GAIN = 7.0  # 1/s, close to the goal
TICK_S = 1.0 / CONTROL_HZ

Stages = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Plan:
    """Stages of one or many ways. via, goal: (..., W, n) rad; tolerance: (..., W) rad.

    A stage is over when every joint of the reference is within its tolerance of `goal`; the last one never is.
    """

    via: FloatArray
    goal: FloatArray
    tolerance: FloatArray

    @classmethod
    def of(cls, stages: Sequence[tuple[FloatArray, FloatArray, float]]) -> Self:
        """Join (via, goal, tolerance) of each stage; via, goal: (..., n)."""
        via, goal = (np.stack([np.asarray(stage[i], dtype=np.float64) for stage in stages], axis=-2) for i in (0, 1))
        tolerance = np.broadcast_to(np.array([stage[2] for stage in stages]), via.shape[:-1])
        return cls(via, goal, tolerance)

    @classmethod
    def one(cls, via: FloatArray, goal: FloatArray) -> Self:
        """Return the plan of a single stage. via, goal: (..., n) rad."""
        return cls.of([(via, goal, 0.0)])

    @property
    def stages(self) -> int:
        """Number of stages, W."""
        return self.goal.shape[-2]


def advance(q: FloatArray, dq: FloatArray, stage: Stages | int, plan: Plan) -> tuple[FloatArray, FloatArray, Stages]:
    """Move references one tick. q, dq: (..., n), rad and rad/s; stage: (...). Returns the next q, dq and stage."""
    stage = np.broadcast_to(np.asarray(stage, dtype=np.int64), q.shape[:-1])
    via, goal = _at(plan.via, stage), _at(plan.goal, stage)
    delta = _aim(q, via, goal) - q
    distance = np.abs(delta).max(axis=-1, keepdims=True)
    speed = np.minimum(MAX_SPEED, np.minimum(np.sqrt(2 * 0.8 * ACCELERATION * distance), GAIN * distance))
    change = delta / np.maximum(distance, 1e-9) * speed - dq
    size = np.abs(change).max(axis=-1, keepdims=True)
    dq = dq + change * np.minimum(1.0, ACCELERATION * TICK_S / np.maximum(size, 1e-9))
    q = q + dq * TICK_S
    over = np.abs(q - goal).max(axis=-1) <= _at(plan.tolerance[..., None], stage)[..., 0]
    return q, dq, np.minimum(stage + over, plan.stages - 1)


def rollout(
    q: FloatArray, dq: FloatArray, stage: Stages | int, plan: Plan, rows: int, ticks_per_row: int
) -> FloatArray:
    """Follow the law from q, dq (..., n) and stage (...). Returns the next `rows` references, (..., rows, n)."""
    out = []
    for _ in range(rows):
        for _ in range(ticks_per_row):
            q, dq, stage = advance(q, dq, stage, plan)
        out.append(q)
    return np.stack(out, axis=-2)


def _at(rows: FloatArray, stage: Stages) -> FloatArray:
    """Return row number `stage` (...) of each of `rows` (..., W, n): (..., n)."""
    if rows.ndim == 2:
        return rows[stage]
    return np.take_along_axis(rows, stage[..., None, None], axis=-2)[..., 0, :]


def _aim(q: FloatArray, via: FloatArray, goal: FloatArray) -> FloatArray:
    """Return the pose to go to: `via` while far from the line from there to `goal`, then ever further along it."""
    line = goal - via
    square = np.maximum((line * line).sum(axis=-1, keepdims=True), 1e-12)
    along = ((q - via) * line).sum(axis=-1, keepdims=True) / square
    off = np.abs(q - (via + np.clip(along, 0.0, 1.0) * line)).max(axis=-1, keepdims=True)
    return via + np.clip(1.5 - off / ALONG_WITHIN_RAD, 0.0, 1.0) * line
