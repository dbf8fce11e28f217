"""Makes a path shorter: straight lines between any two places on it, where they are free."""

import numpy as np

from so_arm_policy.control.motion.query import Query
from so_arm_policy.core.arrays import FloatArray


def shortened(query: Query, path: FloatArray) -> FloatArray:
    """Return `path` (k, m) rad with what is superfluous left out; never longer, its ends kept.

    First corners are cut out, then config.shortcuts times a line is tried between two random places. After Geraerts
    and Overmars, "Creating high-quality paths for motion planning", IJRR 2007. The same for the same seed.
    """
    path = _without_corners(query, path)
    rng = np.random.default_rng([query.seed, 1])
    for _ in range(query.config.shortcuts):
        if len(path) <= 2:
            break
        path = _tried(query, path, *np.sort(rng.uniform(0.0, 1.0, 2)).tolist())
    return _without_corners(query, path)


def _without_corners(query: Query, path: FloatArray) -> FloatArray:
    """Go from each place straight to the last one that is to be seen from there."""
    kept, i = [path[0]], 0
    while i < len(path) - 1:
        i = next(
            (j for j in range(len(path) - 1, i + 1, -1) if query.straight(path[i], path[j])),
            i + 1,
        )
        kept.append(path[i])
    return np.array(kept)


def _tried(query: Query, path: FloatArray, first: float, last: float) -> FloatArray:
    """Return `path` with a straight line between two shares of its length, where that is free."""
    lengths = np.linalg.norm(np.diff(path, axis=0), axis=1)
    at = np.concatenate([[0.0], np.cumsum(lengths)])
    (i, a), (j, b) = (_place(path, at, share * at[-1]) for share in (first, last))
    # a and b lie between checked poses: unchecked themselves, two steps could be between checked poses beside them.
    if i == j or not (query.free(a) and query.free(b) and query.straight(a, b)):
        return path
    return np.vstack([path[: i + 1], a, b, path[j + 1 :]])


def _place(path: FloatArray, at: FloatArray, length: float) -> tuple[int, FloatArray]:
    """Return the segment in which `length` rad of the path are behind one, and the place, (m,)."""
    i = min(max(int(np.searchsorted(at, length, side="right")) - 1, 0), len(path) - 2)
    share = (length - at[i]) / max(at[i + 1] - at[i], 1e-12)
    return i, path[i] + min(share, 1.0) * (path[i + 1] - path[i])
