"""How a motion ends after a fault: when it begins to slow down for good, when it stands, whether it begins again."""

from dataclasses import dataclass

import numpy as np

from so_arm_policy.core.arrays import BoolArray, FloatArray
from so_arm_policy.core.timegrid import CONTROL_HZ

DT = 1.0 / CONTROL_HZ
STILL_RAD_S = 1e-6  # a command slower than this stands: rounding
STILL_FOR_TICKS = 3  # a joint that turns round stands for a moment
BRAKES_RAD_S2 = 2.0  # a tenth of what the shipped robots may
MOVED_RAD = 0.005  # what a command that stood goes on by less is no motion, a third of a degree
LAGS_RAD = 0.05  # a command this far from its joint can give way to it
NEAR_RAD = 0.01  # and this near it has arrived, but for its braking
ARRIVING_TICKS = 12


@dataclass(frozen=True, kw_only=True)
class Halt:
    """How the motion ended after a fault began, in ticks from the first tick of the fault, which is tick 0.

    reaction: the first tick whose command is slower than the one before it, by BRAKES_RAD_S2, and after which it only
    ever gets slower until it stands (speed: Euclidean norm over the joints); 0 means in the very tick of the fault.
    standstill: the first tick whose command does not move. arm: when all measured joints stood for good. None: it never
    came to that. moved_again: whether the command went on by MOVED_RAD after its standstill while the fault lasted.

    A joint whose command is away from where it truly is, and moves towards that, gives way: it counts as still.
    """

    reaction: int | None
    standstill: int | None
    arm: int | None
    moved_again: bool


def judge_halt(speed: FloatArray, arm_moves: BoolArray, onset: int, end: int) -> Halt:
    """Find when and how the motion ended. speed: of the command in each tick, rad/s; arm_moves: whether the arm did."""
    speed = np.nan_to_num(speed, nan=np.inf)
    moving = speed > STILL_RAD_S
    stood = [k for k in range(onset, end) if not moving[k : min(k + STILL_FOR_TICKS, end)].any()]
    arm_moving = np.flatnonzero(arm_moves[onset:end])
    arm = int(arm_moving[-1]) + 1 if len(arm_moving) else 0
    if not stood:
        return Halt(reaction=None, standstill=None, arm=None, moved_again=False)
    at = stood[0]
    first = at
    while first > max(onset, 1) and speed[first - 1] < speed[first - 2]:
        first -= 1
    # A source may slow down a little by itself: only what brakes in earnest is a reaction.
    braking = (k for k in range(max(first, 1), at) if speed[k - 1] - speed[k] >= BRAKES_RAD_S2 * DT)
    first = next(braking, at)
    return Halt(
        reaction=first - onset,
        standstill=at - onset,
        arm=arm if onset + arm < end else None,
        moved_again=float(speed[at:end].sum()) * DT > MOVED_RAD,
    )


def gives_way(before: FloatArray, moves: FloatArray, q: FloatArray) -> BoolArray:
    """Return which joints' moves only lead their command back to where the joint truly is, (ticks, n).

    It begins with a joint that is far from its command, and lasts until its command turns away, or for ARRIVING_TICKS
    from when it has got there, which it needs to come to rest.
    """
    lag = q - before
    towards = (lag * moves > 0.0) & (np.abs(moves) <= np.abs(lag))
    gives, left = np.zeros(moves.shape, dtype=np.bool_), np.zeros(moves.shape[1], dtype=np.int64)
    for k in range(len(moves)):
        going = towards[k] & ((np.abs(lag[k]) > LAGS_RAD) | (left > 0))
        left = np.where(going, ARRIVING_TICKS, np.where(np.abs(lag[k]) < NEAR_RAD, left - 1, 0))
        gives[k] = left > 0
    return gives
