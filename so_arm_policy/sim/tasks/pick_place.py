"""Pick and place: put the object the instruction names into the bowl or onto the plate."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from so_arm_policy.control.ik import ArmIk
from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.sim.carry import LEAVE, astray, missed, way_to_place
from so_arm_policy.sim.goal import PLACES, Goal, Step
from so_arm_policy.sim.language import PICK_PLACE, Phrasings
from so_arm_policy.sim.law import Plan
from so_arm_policy.sim.places import lies_in, offset, place_center, places_of, rests_in
from so_arm_policy.sim.scene import EVERYTHING, ObjectSet, Scene
from so_arm_policy.sim.simulator import Simulator
from so_arm_policy.sim.tasks.object_task import Held, ObjectTask
from so_arm_policy.sim.tasks.task import Focus, TaskStatus

HOLD_S = 0.5


@dataclass(frozen=True)
class PickPlace(ObjectTask):
    """One arm takes one of three objects by friction and puts it into the bowl or onto the plate.

    Success: for 0.5 s the named object rests in the named place, no other object is there, and the gripper is away.
    """

    name: str = "pick_place"
    time_limit_s: float = 10.0
    robot: str = "so101"
    objects: ObjectSet = EVERYTHING
    phrasings: Phrasings = PICK_PLACE

    def goals(self, scene: Scene) -> list[Goal]:
        """Return one goal for each object and place of `scene`."""
        return [Goal((Step(i, place),)) for i in range(len(scene.objects)) for place in places_of(scene)]

    def draw(self, scene: Scene, objects: ObjectSet, rng: np.random.Generator) -> tuple[Scene, Goal]:
        """Draw the object, then the place."""
        targets = objects.targets(scene)
        target, place = targets[int(rng.integers(len(targets)))], PLACES[int(rng.integers(len(PLACES)))]
        return scene, Goal((Step(target, place),))

    def tracker(self, goal: Goal) -> "PlaceTracker":
        """Return what judges one episode, fed once a tick."""
        return PlaceTracker(goal.steps[0])

    def focus(self, simulator: Simulator, goal: Goal) -> Focus:
        """Return where the object is and where it should go."""
        (step,) = goal.steps
        return focus_on(simulator, step, int(rests_in(simulator, step.object, str(step.place))))

    def plan(self, iks: Sequence[ArmIk], simulator: Simulator, goal: Goal) -> Plan:
        """Approach, close, lift, carry, release, leave."""
        return way_to_place(iks[0], simulator, goal.steps[0])

    def astray(self, simulator: Simulator, goal: Goal, plan: Plan, stage: int, q: FloatArray, seen: FloatArray) -> bool:
        """Whether the object was moved or lost, or is not in its place when the arm is back."""
        if stage == LEAVE:
            return np.abs(q - plan.goal[-1]).max() < 0.05 and missed(simulator, goal.steps[0])
        return astray(simulator, goal.steps[0], stage, seen)


def focus_on(simulator: Simulator, step: Step, progress: int) -> Focus:
    """Return the focus on one step: from where the object is to the floor of its place."""
    place = place_center(simulator.scene, str(step.place))
    return Focus(source=simulator.object_position(step.object), place=place, progress=progress)


class PlaceTracker:
    """Counts how long the object has been resting in its place, alone."""

    def __init__(self, step: Step) -> None:
        """step: which object, and where to."""
        self._object, self._place = step.object, str(step.place)
        self._held = Held(HOLD_S)

    def update(self, simulator: Simulator) -> TaskStatus:
        """Look at the present state; call once a tick."""
        others = [i for i in range(len(simulator.scene.objects)) if i != self._object]
        alone = not any(lies_in(simulator, i, self._place) for i in others)
        done = alone and rests_in(simulator, self._object, self._place)
        return self._held.status(done, offset(simulator, self._object, self._place))
