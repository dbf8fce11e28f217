"""Makes a path shorter: straight lines between any two places on it, where they are free."""

import numpy as np

from so_arm_policy.control.motion.query import Query
from so_arm_policy.core.arrays import FloatArray

GAIN = 0.005  # a try that makes the path shorter by less than this share of it was idle
IDLE = 16  # so many idle tries in a row are the last


def shortened(query: Query, path: FloatArray) -> FloatArray:
    """Return `path` (k, m) rad with what is superfluous left out; never longer, its ends kept.

    First corners are cut out, then at most config.shortcuts times two random places are chosen and either all joints or
    a random one go straight between them, where that is free. After Geraerts and Overmars, "Creating high-quality paths
    for motion planning", IJRR 2007. The same for the same seed.
    """
    path = _without_corners(query, path)
    rng = np.random.default_rng([query.seed, 1])
    idle = 0
    for number in range(query.config.shortcuts):
        if len(path) <= 2 or idle >= IDLE:
            break
        before = _length(path)
        first, last = np.sort(rng.uniform(0.0, _length(path), 2)).tolist()
        joint = int(rng.integers(path.shape[1])) if number % 2 else None
        path = _tried(query, path, first, last, joint)
        idle = 0 if _length(path) < (1.0 - GAIN) * before else idle + 1
    return _without_corners(query, path)


def _without_corners(query: Query, path: FloatArray) -> FloatArray:
    """Go from each place straight to the last one that is to be seen from there."""
    kept, i = [path[0]], 0
    while i < len(path) - 1:
        i = next((j for j in range(len(path) - 1, i + 1, -1) if query.straight(path[i], path[j])), i + 1)
        kept.append(path[i])
    return np.array(kept)


def _tried(query: Query, path: FloatArray, first: float, last: float, joint: int | None) -> FloatArray:
    """Return `path` with a straight line between two places, by their way in rad, of one joint or all, where free."""
    (i, a), (j, b) = _place(path, first), _place(path, last)
    if i == j:
        return path
    old = np.vstack([a, path[i + 1 : j + 1], b])
    if joint is None:
        new = np.stack([a, b])
    else:
        new = old.copy()
        shares = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(old, axis=0), axis=1))])
        new[:, joint] = a[joint] + shares / shares[-1] * (b[joint] - a[joint])
    # The ends lie between checked poses: unchecked themselves, there could be two steps between the poses beside them.
    if not _length(new) < _length(old) or not all(query.free(q) for q in new):
        return path
    if not all(query.straight(p, q) for p, q in zip(new, new[1:], strict=False)):
        return path
    return np.vstack([path[: i + 1], new, path[j + 1 :]])


def _place(path: FloatArray, way: float) -> tuple[int, FloatArray]:
    """Return the line on which `way` rad of the path are behind one, and the place, (m,)."""
    at = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    i = min(max(int(np.searchsorted(at, way, side="right")) - 1, 0), len(path) - 2)
    share = (way - at[i]) / max(at[i + 1] - at[i], 1e-12)
    return i, path[i] + min(share, 1.0) * (path[i + 1] - path[i])


def _length(path: FloatArray) -> float:
    return float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum())
