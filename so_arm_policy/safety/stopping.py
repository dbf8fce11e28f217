"""How one joint comes to rest: as fast as acceleration and jerk let it, without turning round.

In units of one tick: a joint moves by `u` rad in a tick and `u` changes by `a` rad from one tick to the next. That
change is at most `A` = acceleration dt^2 and itself changes by at most `J` = jerk dt^3. A change of -b can be given up
only by J a tick, so it takes tail(b) = (b - J) + (b - 2 J) + ... more off the move before it is gone. The joint may
slow down by b when what is left then, u - b, is at least tail(b); with `given_up` the inverse of b + tail(b): when
b <= given_up(u). Plain floats: for a handful of joints they are faster than arrays.
"""

import math

import numpy as np

from so_arm_policy.core.arrays import FloatArray

TICKS = 100_000  # no joint takes as long


def given_up(u: float, J: float) -> float:
    """Return the largest change b, rad, with b + tail(b) <= u; for negative `u` just that."""
    if u <= J:
        return u
    whole = math.floor((math.sqrt(1.0 + 8.0 * u / J) - 1.0) / 2.0)
    return (u + J * whole * (whole + 1) / 2.0) / (whole + 1)


def all_given_up(u: FloatArray, J: FloatArray) -> FloatArray:
    """`given_up` of every joint, (n,) rad."""
    whole = np.floor((np.sqrt(1.0 + 8.0 * np.maximum(u, 0.0) / J) - 1.0) / 2.0)
    return (u + J * whole * (whole + 1.0) / 2.0) / (whole + 1.0)


def slower(u: float, a: float, A: float, J: float) -> float:
    """Return the next move, rad, of a joint on the shortest way to rest.

    A joint that was already turning round too fast to stand still goes on past zero as little as it can.
    """
    return -_slower(-u, -a, A, J) if u < 0.0 else _slower(u, a, A, J)


def way_to_rest(u: float, a: float, A: float, J: float) -> tuple[float, float]:
    """Return how far ahead and how far back, both >= 0, rad, a joint still gets that comes to rest from now on."""
    full = _full_braking_above(A, J)
    at = ahead = back = 0.0
    sign = 1.0  # of u, which is kept positive
    for _ in range(TICKS):
        if u < 0.0:
            u, a, sign = -u, -a, -sign
        if u == 0.0 and -J <= a <= J:
            break
        if a <= -A and u >= full + A:  # many ticks of the same change, in one go
            n = math.floor((u - full) / A)
            at += sign * (n * u - A * n * (n + 1) / 2.0)
            u -= n * A
        else:
            following = _slower(u, a, A, J)
            u, a = following, following - u
            at += sign * u
        if at > ahead:
            ahead = at
        elif -at > back:
            back = -at
    return ahead, back


def _slower(u: float, a: float, A: float, J: float) -> float:
    """`slower` for u >= 0. Written out: this is where a tick of the supervisor spends most of its time."""
    change = given_up(u, J) if u > J else u
    least = -a - J if a + J < A else -A
    if change < least:
        change = least
    most = J - a if J - a < A else A
    return u - (most if change > most else change)


def _full_braking_above(A: float, J: float) -> float:
    """Return the move, rad, from which on a joint may change by all of A."""
    whole = math.floor(A / J)
    return (whole + 1) * A - J * whole * (whole + 1) / 2.0
