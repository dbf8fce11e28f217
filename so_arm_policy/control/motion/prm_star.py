"""PRM* that checks lazily: a roadmap of random poses, searched by A*; what the best way touches is taken out.

After Karaman and Frazzoli, "Sampling-based algorithms for optimal motion planning", IJRR 2011 (how many neighbours),
and Bohlin and Kavraki, "Path planning using lazy PRM", ICRA 2000. Slower than RRT-Connect to a first path, but the path
is short, and narrow ways between many things do not depend on the luck of one tree. Not OMPL's PRM*: a second thread
tells it when to stop, so that its paths depend on the machine.
"""

import heapq
import math

import numpy as np

from so_arm_policy.control.motion.query import Query
from so_arm_policy.core.arrays import FloatArray

FIRST = 200  # poses in the first roadmap; each that has no way is followed by one of twice as many


def prm_star(query: Query) -> FloatArray | None:
    """Return a path (k, m) rad, or None where even config.iterations poses have none. The same for the same seed."""
    rng = np.random.default_rng(query.seed)
    ends = np.vstack([query.start, query.goals])
    poses, wanted = ends, FIRST
    known: dict[tuple[int, int], bool] = {}
    free: dict[int, bool] = dict.fromkeys(range(len(ends)), True)
    while len(poses) - len(ends) < query.config.iterations:
        count = min(wanted, query.config.iterations) - (len(poses) - len(ends))
        poses = np.vstack([poses, rng.uniform(query.lower, query.upper, (count, len(query.start)))])
        path = _search(query, poses, known, free)
        if path is not None:
            return poses[path]
        wanted *= 2
    return None


def _search(
    query: Query, poses: FloatArray, known: dict[tuple[int, int], bool], free: dict[int, bool]
) -> list[int] | None:
    """Return the numbers of the poses on the shortest free way, or None. `known` and `free` keep what was checked."""
    neighbours = _neighbours(poses, {i for i, good in free.items() if not good})
    for (a, b), good in known.items():
        if not good:
            neighbours[a].pop(b, None)
            neighbours[b].pop(a, None)
    goals = range(1, 1 + len(query.goals))
    ahead = np.min([np.linalg.norm(poses - poses[goal], axis=1) for goal in goals], axis=0)
    while (path := _a_star(neighbours, ahead, set(goals))) is not None:
        if _all_free(query, poses, path, neighbours, known, free):
            return path
    return None


def _all_free(
    query: Query,
    poses: FloatArray,
    path: list[int],
    neighbours: list[dict[int, float]],
    known: dict[tuple[int, int], bool],
    free: dict[int, bool],
) -> bool:
    """Whether poses and lines of `path` are free; takes the first that is not out of the roadmap."""
    for i in path:
        if i not in free:
            free[i] = query.free(poses[i])
        if not free[i]:
            for j in neighbours[i]:
                neighbours[j].pop(i, None)
            neighbours[i].clear()
            return False
    for a, b in zip(path, path[1:], strict=False):
        line = (min(a, b), max(a, b))
        if line not in known:
            known[line] = query.straight(poses[line[0]], poses[line[1]])
        if not known[line]:
            neighbours[a].pop(b)
            neighbours[b].pop(a)
            return False
    return True


def _neighbours(poses: FloatArray, gone: set[int]) -> list[dict[int, float]]:
    """Return for each pose its nearest ones with their distances, rad; there and back alike."""
    count, size = poses.shape
    nearest = min(count - 1, math.ceil(math.e * (1 + 1 / size) * math.log(count)))
    found: list[dict[int, float]] = [{} for _ in range(count)]
    for i, pose in enumerate(poses):
        if i in gone:
            continue
        distances = np.linalg.norm(poses - pose, axis=1)
        for j in np.argpartition(distances, nearest)[: nearest + 1].tolist():
            if j != i and j not in gone:
                found[i][j] = found[j][i] = float(distances[j])
    return found


def _a_star(neighbours: list[dict[int, float]], ahead: FloatArray, goals: set[int]) -> list[int] | None:
    """Return the shortest way from pose 0 to any of `goals`, or None. ahead: at most the way left, (count,) rad."""
    queue = [(float(ahead[0]), 0)]
    way, before = {0: 0.0}, {0: 0}
    done: set[int] = set()
    while queue:
        _, i = heapq.heappop(queue)
        if i in goals:
            path = [i]
            while path[-1] != 0:
                path.append(before[path[-1]])
            return path[::-1]
        if i in done:
            continue
        done.add(i)
        for j, distance in neighbours[i].items():
            if way[i] + distance < way.get(j, math.inf):
                way[j], before[j] = way[i] + distance, i
                heapq.heappush(queue, (way[j] + float(ahead[j]), j))
    return None
