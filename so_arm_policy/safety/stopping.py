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
    if u < 0.0:
        return -slower(-u, -a, A, J)
    least, most = -min(a + J, A), min(J - a, A)
    return u - min(max(given_up(u, J), least), most)


def way_to_rest(u: float, a: float, A: float, J: float) -> tuple[float, float]:
    """Return how far ahead and how far back, both >= 0, rad, a joint still gets that comes to rest from now on."""
    full = _full_braking_above(A, J)
    at = ahead = back = 0.0
    for _ in range(TICKS):
        if u == 0.0 and abs(a) <= J:
            break
        if abs(a) >= A and abs(u) >= full + A and u * a < 0.0:  # many ticks of the same change, in one go
            n = math.floor((abs(u) - full) / A)
            at += math.copysign(n * abs(u) - A * n * (n + 1) / 2.0, u)
            u -= math.copysign(n * A, u)
        else:
            following = slower(u, a, A, J)
            u, a = following, following - u
            at += u
        ahead, back = max(ahead, at), max(back, -at)
    return ahead, back


def _full_braking_above(A: float, J: float) -> float:
    """Return the move, rad, from which on a joint may change by all of A."""
    whole = math.floor(A / J)
    return (whole + 1) * A - J * whole * (whole + 1) / 2.0
