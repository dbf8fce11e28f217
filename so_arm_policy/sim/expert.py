"""The scripted expert for reach: a law that says, from any pose, how the reference moves next.

The law depends only on the present reference and its velocity, so that it can label any state: towards a pose above
the cube, then down to it, with bounded speed and acceleration.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from so_arm_policy.control.ik import ArmIk
from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.sim.scene import Cube

HOVER_Z_M = 0.09
TOUCH_Z_M = 0.039
DESCEND_WITHIN_RAD = 0.15
MAX_SPEED = 1.6  # rad/s, of the fastest joint
ACCELERATION = 8.0  # rad/s^2
GAIN = 7.0  # 1/s, close to the goal
TICK_S = 1.0 / CONTROL_HZ


@dataclass(frozen=True)
class ReachGoal:
    """Joint poses above and at one or many cubes. hover, touch: (..., n) rad."""

    hover: npt.NDArray[np.float64]
    touch: npt.NDArray[np.float64]


def reach_goal(ik: ArmIk, cube: Cube, home: FloatArray) -> ReachGoal:
    """Solve for the poses above and at `cube`. Raises InputError when it is out of reach."""
    hover = ik.solve(np.array([cube.x, cube.y, HOVER_Z_M]), home, tolerance_m=4e-3)
    return ReachGoal(hover=hover, touch=ik.solve(np.array([cube.x, cube.y, TOUCH_Z_M]), hover))


def advance(
    q: npt.NDArray[np.float64], dq: npt.NDArray[np.float64], goal: ReachGoal
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Move references one tick. q, dq: (..., n), rad and rad/s. Returns the next q and dq."""
    delta = _aim(q, goal) - q
    distance = np.abs(delta).max(axis=-1, keepdims=True)
    speed = np.minimum(MAX_SPEED, np.minimum(np.sqrt(2 * 0.8 * ACCELERATION * distance), GAIN * distance))
    change = delta / np.maximum(distance, 1e-9) * speed - dq
    size = np.abs(change).max(axis=-1, keepdims=True)
    dq = dq + change * np.minimum(1.0, ACCELERATION * TICK_S / np.maximum(size, 1e-9))
    return q + dq * TICK_S, dq


def _aim(q: npt.NDArray[np.float64], goal: ReachGoal) -> npt.NDArray[np.float64]:
    """Return the pose to go to: above the cube while far from the way down, then ever further down it."""
    down = goal.touch - goal.hover
    along = ((q - goal.hover) * down).sum(axis=-1, keepdims=True) / (down * down).sum(axis=-1, keepdims=True)
    off = np.abs(q - (goal.hover + np.clip(along, 0.0, 1.0) * down)).max(axis=-1, keepdims=True)
    return goal.hover + np.clip(1.5 - off / DESCEND_WITHIN_RAD, 0.0, 1.0) * down


def rollout(
    q: npt.NDArray[np.float64], dq: npt.NDArray[np.float64], goal: ReachGoal, rows: int, ticks_per_row: int
) -> npt.NDArray[np.float64]:
    """Follow the law from q, dq (..., n). Returns the next `rows` references, (..., rows, n)."""
    out = []
    for _ in range(rows):
        for _ in range(ticks_per_row):
            q, dq = advance(q, dq, goal)
        out.append(q)
    return np.stack(out, axis=-2)
