"""RRT-Connect, as OMPL has it: two trees that grow towards each other.

After Kuffner and LaValle, "RRT-Connect: an efficient approach to single-query path planning", ICRA 2000. For most
queries the fastest to find a first path.
"""

import threading

import numpy as np
from ompl import base, geometric, util

from so_arm_policy.control.motion.query import Query
from so_arm_policy.core.arrays import FloatArray

# OMPL draws the seed of each of its generators from one of the process: nothing else may draw in between.
_OMPL = threading.Lock()


def rrt_connect(query: Query) -> FloatArray | None:
    """Return a path (k, m) rad, or None after config.iterations branches. The same for the same seed, whatever ran."""
    with _OMPL:
        level = util.getLogLevel()
        # Seeding again does what is wanted here, but OMPL calls it an error in its log.
        util.setLogLevel(util.LogLevel.LOG_NONE)
        try:
            util.RNG.setSeed(query.seed + 1)  # 0 would be ignored
            return _solve(query)
        finally:
            util.setLogLevel(level)


def _solve(query: Query) -> FloatArray | None:
    size = len(query.start)
    space = base.RealVectorStateSpace(size)
    bounds = base.RealVectorBounds(size)
    for i, (low, high) in enumerate(zip(query.lower.tolist(), query.upper.tolist(), strict=True)):
        bounds.setLow(i, low)
        bounds.setHigh(i, high)
    space.setBounds(bounds)
    space.setLongestValidSegmentFraction(query.config.resolution_rad / space.getMaximumExtent())
    info = base.SpaceInformation(space)
    joints = range(size)
    info.setStateValidityChecker(lambda state: query.free(np.array([state[i] for i in joints])))
    info.setup()
    problem = base.ProblemDefinition(info)
    problem.addStartState(_state(space, query.start))
    goals = base.GoalStates(info)
    for goal in query.goals:
        goals.addState(_state(space, goal))
    problem.setGoal(goals)
    planner = geometric.RRTConnect(info)
    planner.setProblemDefinition(problem)
    planner.setRange(query.config.range_rad)
    planner.setup()
    planner.solve(base.PlannerTerminationCondition(_Countdown(query.config.iterations)))
    if not problem.hasExactSolution():
        return None
    return np.array([[state[i] for i in joints] for state in problem.getSolutionPath().getStates()])


class _Countdown:
    """True after so many questions, one for each branch: a limit in time would make the path depend on the machine."""

    def __init__(self, count: int) -> None:
        self._left = count

    def __call__(self) -> bool:
        self._left -= 1
        return self._left < 0


def _state(space: base.RealVectorStateSpace, q: FloatArray) -> base.State:
    state = space.allocState()
    for i, value in enumerate(q.tolist()):
        state[i] = value
    return state
