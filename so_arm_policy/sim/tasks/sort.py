"""Sort: put two objects into two places, in the order the sentence says."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from so_arm_policy.control.ik import ArmIk
from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.sim.carry import LEAVE, astray, missed, way_to_place
from so_arm_policy.sim.goal import PLACES, Goal, Step
from so_arm_policy.sim.language import SORT, Phrasings
from so_arm_policy.sim.law import Plan
from so_arm_policy.sim.places import lies_in, offset, rests_in
from so_arm_policy.sim.scene import EVERYTHING, ObjectSet, Scene
from so_arm_policy.sim.simulator import Simulator
from so_arm_policy.sim.tasks.object_task import Held, ObjectTask
from so_arm_policy.sim.tasks.pick_place import focus_on
from so_arm_policy.sim.tasks.task import Focus, TaskStatus

HOLD_S = 0.5


@dataclass(frozen=True)
class Sort(ObjectTask):
    """One arm puts two of three objects into bowl and plate, one after the other.

    Success: the first rested in its place before the second came to its own, and then for 0.5 s both rest in their
    places, the third object in neither, and the gripper is away.
    """

    name: str = "sort"
    time_limit_s: float = 20.0
    robot: str = "so101"
    objects: ObjectSet = EVERYTHING
    phrasings: Phrasings = SORT

    def goals(self, scene: Scene) -> list[Goal]:
        """Return every two objects in both places in both orders."""
        if scene.plate_x is None:
            return []
        pairs = permutations(range(len(scene.objects)), 2)
        return [Goal((Step(a, p), Step(b, q))) for a, b in pairs for p, q in (PLACES, PLACES[::-1])]

    def tracker(self, goal: Goal) -> "SortTracker":
        """Return what judges one episode, fed once a tick."""
        return SortTracker(goal)

    def focus(self, simulator: Simulator, goal: Goal) -> Focus:
        """Return where the next object is and where it should go; progress: leading steps whose object rests there."""
        done = steps_done(simulator, goal)
        return focus_on(simulator, goal.steps[min(done, len(goal.steps) - 1)], done)

    def plan(self, iks: Sequence[ArmIk], simulator: Simulator, goal: Goal) -> Plan:
        """Carry the next object to its place; the plan ends there, and the next one begins."""
        return way_to_place(iks[0], simulator, _next(simulator, goal))

    def astray(self, simulator: Simulator, goal: Goal, plan: Plan, stage: int, q: FloatArray, seen: FloatArray) -> bool:
        """Whether something was moved or lost, or the arm is back and something is left to do."""
        step = _next(simulator, goal)
        if stage == LEAVE:
            return np.abs(q - plan.goal[-1]).max() < 0.05 and missed(simulator, step)
        return astray(simulator, step, stage, seen)


def steps_done(simulator: Simulator, goal: Goal) -> int:
    """Count the leading steps of `goal` whose object rests in its place."""
    done = 0
    for step in goal.steps:
        if not rests_in(simulator, step.object, str(step.place)):
            break
        done += 1
    return done


def _next(simulator: Simulator, goal: Goal) -> Step:
    """Return the first step whose object is not in its place, else the last one."""
    return next((step for step in goal.steps if missed(simulator, step)), goal.steps[-1])


class SortTracker:
    """Remembers the order in which the objects came to their places."""

    def __init__(self, goal: Goal) -> None:
        """goal: two steps."""
        self._goal = goal
        self._first_rested = self._wrong_order = False
        self._held = Held(HOLD_S)

    def update(self, simulator: Simulator) -> TaskStatus:
        """Look at the present state; call once a tick. distance_m: the larger one of both objects."""
        first, second = self._goal.steps
        done = steps_done(simulator, self._goal)
        self._first_rested = self._first_rested or done >= 1
        self._wrong_order = self._wrong_order or (not self._first_rested and not missed(simulator, second))
        moved = {first.object, second.object}
        strangers = [i for i in range(len(simulator.scene.objects)) if i not in moved]
        alone = not any(lies_in(simulator, i, place) for i in strangers for place in PLACES)
        good = done == len(self._goal.steps) and alone and not self._wrong_order
        distance = max(offset(simulator, step.object, str(step.place)) for step in self._goal.steps)
        return self._held.status(good, distance)
