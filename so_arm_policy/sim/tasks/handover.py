"""Handover: the left arm takes the named object, passes it to the right arm, that puts it into the bowl."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from so_arm_policy.control.ik import ArmIk
from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.sim.carry import missed
from so_arm_policy.sim.goal import Goal, Step
from so_arm_policy.sim.language import HANDOVER, Phrasings
from so_arm_policy.sim.law import Plan
from so_arm_policy.sim.pass_over import LEAVE, LEFT, RIGHT, pass_astray, way_to_pass
from so_arm_policy.sim.places import lies_in, offset, rests_in
from so_arm_policy.sim.scene import EVERYTHING, ObjectSet, Scene
from so_arm_policy.sim.simulator import Simulator
from so_arm_policy.sim.tasks.object_task import Held, ObjectTask
from so_arm_policy.sim.tasks.pick_place import focus_on
from so_arm_policy.sim.tasks.task import Focus, TaskStatus

HOLD_S = 0.5
BASES_Y_M = {"left": 0.2, "right": -0.2}
APART_M = 0.075
LIFTED_M = 0.05
IN_HAND_M, OUT_OF_HAND_M = 0.015, 0.03


@dataclass(frozen=True)
class Handover(ObjectTask):
    """Two arms: three objects on the left, the bowl on the right.

    Success: the named object was held in the air by the left arm alone, then by the right arm alone, and then rests in
    the bowl for 0.5 s, no other object is there, and both grippers are away.
    """

    name: str = "handover"
    time_limit_s: float = 20.0
    robot: str = "so101_bimanual"
    objects: ObjectSet = EVERYTHING
    phrasings: Phrasings = HANDOVER

    def goals(self, scene: Scene) -> list[Goal]:
        """Return one goal for each object of `scene`."""
        return [Goal((Step(i, "bowl"),)) for i in range(len(scene.objects))]

    def draw(self, scene: Scene, objects: ObjectSet, rng: np.random.Generator) -> tuple[Scene, Goal]:
        """Spread the scene between the arms, then draw the object."""
        return super().draw(spread(scene, rng), objects, rng)

    def tracker(self, goal: Goal) -> "HandoverTracker":
        """Return what judges one episode, fed once a tick."""
        return HandoverTracker(goal.steps[0])

    def focus(self, simulator: Simulator, goal: Goal) -> Focus:
        """Return where the object is and where it should go."""
        (step,) = goal.steps
        return focus_on(simulator, step, int(rests_in(simulator, step.object, str(step.place))))

    def plan(self, iks: Sequence[ArmIk], simulator: Simulator, goal: Goal) -> Plan:
        """Take it, meet, pass it over, put it down."""
        return way_to_pass(iks, simulator, goal.steps[0])

    def astray(self, simulator: Simulator, goal: Goal, plan: Plan, stage: int, q: FloatArray, seen: FloatArray) -> bool:
        """Whether the object was moved or lost, or is not in the bowl when the arms are back."""
        if stage == LEAVE:
            return np.abs(q - plan.goal[-1]).max() < 0.05 and missed(simulator, goal.steps[0])
        return pass_astray(simulator, goal.steps[0], stage, seen)


def spread(scene: Scene, rng: np.random.Generator) -> Scene:
    """Return `scene` with the objects before the left arm, the bowl before the right one, and no plate."""
    places: list[tuple[float, float]] = []
    while len(places) < len(scene.objects):
        place = _before("left", rng.uniform(0.18, 0.25), rng.uniform(-30, 35))
        if all(math.dist(place, other) >= APART_M for other in places):
            places.append(place)
    bowl_x, bowl_y = _before("right", rng.uniform(0.20, 0.24), rng.uniform(-45, 0))
    things = tuple(replace(o, x=x, y=y) for o, (x, y) in zip(scene.objects, places, strict=True))
    return replace(scene, objects=things, bowl_x=bowl_x, bowl_y=bowl_y, plate_x=None, plate_y=None)


def _before(arm: str, radius: float, angle_deg: float) -> tuple[float, float]:
    """Return a place in polar coordinates about the base of an arm; angles turn to the left."""
    angle = math.radians(angle_deg)
    return radius * math.cos(angle), BASES_Y_M[arm] + radius * math.sin(angle)


class HandoverTracker:
    """Remembers who has held the object in the air, and for how long it has been in the bowl."""

    def __init__(self, step: Step) -> None:
        """step: which object, and where to."""
        self._object, self._place = step.object, str(step.place)
        self._left_had = self._right_had = False
        self._held = Held(HOLD_S)

    def update(self, simulator: Simulator) -> TaskStatus:
        """Look at the present state; call once a tick."""
        self._left_had = self._left_had or self._held_by(simulator, LEFT, RIGHT)
        self._right_had = self._right_had or (self._left_had and self._held_by(simulator, RIGHT, LEFT))
        others = [i for i in range(len(simulator.scene.objects)) if i != self._object]
        alone = not any(lies_in(simulator, i, self._place) for i in others)
        done = self._right_had and alone and rests_in(simulator, self._object, self._place)
        return self._held.status(done, offset(simulator, self._object, self._place))

    def _held_by(self, simulator: Simulator, arm: int, other: int) -> bool:
        """Whether the object is in the air between the fingers of `arm`, those of `other` away from it."""
        if simulator.object_position(self._object)[2] - simulator.half_height(self._object) < LIFTED_M:
            return False
        near, far = (simulator.surface_distance(self._object, simulator.fingertip(a)) for a in (arm, other))
        return near <= IN_HAND_M and far >= OUT_OF_HAND_M
