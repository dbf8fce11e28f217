"""Reach: bring the fingertip to the object the instruction names, and stay there."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from so_arm_policy.control.ik import ArmIk
from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.objects import height
from so_arm_policy.sim.goal import Goal, Step
from so_arm_policy.sim.language import FOUNDATION_REACH, REACH, Phrasings
from so_arm_policy.sim.law import Plan
from so_arm_policy.sim.scene import FOUNDATION, ObjectSet, Scene, SceneObject
from so_arm_policy.sim.simulator import Simulator
from so_arm_policy.sim.tasks.object_task import Held, ObjectTask
from so_arm_policy.sim.tasks.task import Focus, TaskStatus

REACHED_M = 0.02
HOLD_S = 0.5
HOVER_M = 0.06  # above the top of the object
TOUCH_M = 0.009
MOVED_M = 0.01


@dataclass(frozen=True)
class Reach(ObjectTask):
    """One arm touches one of three objects from above.

    Success: the fingertip stays within 2 cm of the surface of the named object for 0.5 s.
    """

    name: str = "reach"
    time_limit_s: float = 8.0
    robot: str = "so101"
    objects: ObjectSet = FOUNDATION

    @property
    def phrasings(self) -> Phrasings:
        """How the task is put into words."""
        return REACH if self.objects.varied else FOUNDATION_REACH

    def goals(self, scene: Scene) -> list[Goal]:
        """Return one goal for each object of `scene`, in order."""
        return [Goal((Step(i),)) for i in range(len(scene.objects))]

    def tracker(self, goal: Goal) -> "ReachTracker":
        """Return what judges one episode, fed once a tick."""
        return ReachTracker(goal.steps[0].object)

    def focus(self, simulator: Simulator, goal: Goal) -> Focus:
        """Return where the object is; done while the fingertip is there."""
        target = goal.steps[0].object
        position = simulator.object_position(target)
        reached = simulator.surface_distance(target, simulator.fingertip()) <= REACHED_M
        return Focus(source=position, place=position, progress=int(reached))

    def plan(self, iks: Sequence[ArmIk], simulator: Simulator, goal: Goal) -> Plan:
        """Go above the object, then down to it."""
        target = goal.steps[0].object
        x, y, _ = simulator.object_position(target)
        return way_to_touch(iks[0], simulator.scene.objects[target], (x, y))

    def astray(self, simulator: Simulator, goal: Goal, plan: Plan, stage: int, q: FloatArray, seen: FloatArray) -> bool:  # noqa: ARG002
        """Whether the object was moved."""
        target = goal.steps[0].object
        return float(np.linalg.norm(simulator.object_position(target) - seen[target])) > MOVED_M


def way_to_touch(
    ik: ArmIk, thing: SceneObject, place: tuple[float, float] | None = None, hover_m: float = HOVER_M
) -> Plan:
    """Return the way to `hover_m` above `thing` and down to just over its top.

    place: (x, y) in m, instead of the thing's own.
    Raises InputError when it is out of reach.
    """
    x, y = place or (thing.x, thing.y)
    top = height(thing.kind)
    hover = ik.solve(np.array([x, y, top + hover_m]), ik.home, tolerance_m=4e-3)
    return Plan.one(hover, ik.solve(np.array([x, y, top + TOUCH_M]), hover))


class ReachTracker:
    """Counts how long the fingertip has been at the target."""

    def __init__(self, target: int) -> None:
        """target: number of the object in the scene."""
        self._target, self._held = target, Held(HOLD_S)

    def update(self, simulator: Simulator) -> TaskStatus:
        """Look at the present state; call once a tick."""
        distance = simulator.surface_distance(self._target, simulator.fingertip())
        return self._held.status(distance <= REACHED_M, distance)
