"""Track: stay with an object that moves over the table on a path the robot does not know."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from so_arm_policy.control.ik import ArmIk
from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.sim.goal import Goal, Step
from so_arm_policy.sim.language import TRACK, Phrasings
from so_arm_policy.sim.law import Plan
from so_arm_policy.sim.motion import Motion
from so_arm_policy.sim.scene import EVERYTHING, ObjectSet, Scene, places_in_reach
from so_arm_policy.sim.simulator import Simulator
from so_arm_policy.sim.tasks.object_task import ObjectTask
from so_arm_policy.sim.tasks.reach import way_to_touch
from so_arm_policy.sim.tasks.task import Focus, TaskStatus

CLOSE_M = 0.03
CATCH_UP_S = 2.0
JUDGED_S = 8.0
SHARE = 0.9
APART_M = 0.062  # between the middle of the moving object and those of the others
TIGHTEST_M = 0.015
SHORTEST_M = 0.15
HARMONICS = 3
MOVED_M = 0.0025
LOW_M = 0.025  # above the top of the object
MOST = (0.05, 0.35)  # amplitude in m and rad


@dataclass(frozen=True)
class Track(ObjectTask):
    """One arm follows a moving object from above.

    Success: after 2 s to catch up, the fingertip is within 3 cm of the object's surface for 90 % of 8 s.
    """

    name: str = "track"
    time_limit_s: float = CATCH_UP_S + JUDGED_S
    robot: str = "so101"
    objects: ObjectSet = EVERYTHING
    phrasings: Phrasings = TRACK

    def goals(self, scene: Scene) -> list[Goal]:
        """Return one goal for each object of `scene`, in order; those that stand still can be stayed with."""
        return [Goal((Step(i),)) for i in range(len(scene.objects))]

    def draw(self, scene: Scene, objects: ObjectSet, rng: np.random.Generator) -> tuple[Scene, Goal]:
        """Draw which object moves and how."""
        scene, goal = super().draw(scene, objects, rng)
        return set_going(scene, goal.steps[0].object, rng), goal

    def tracker(self, goal: Goal) -> "TrackTracker":
        """Return what judges one episode, fed once a tick."""
        return TrackTracker(goal.steps[0].object)

    def focus(self, simulator: Simulator, goal: Goal) -> Focus:
        """Return where the object is now. It is never done."""
        position = simulator.object_position(goal.steps[0].object)
        return Focus(source=position, place=position, progress=0)

    def plan(self, iks: Sequence[ArmIk], simulator: Simulator, goal: Goal) -> Plan:
        """Go to just above where the object is now, then down to it: a hand that lags does not rise far from it."""
        target = goal.steps[0].object
        x, y, _ = simulator.object_position(target)
        return way_to_touch(iks[0], simulator.scene.objects[target], (x, y), LOW_M)

    def astray(self, simulator: Simulator, goal: Goal, plan: Plan, stage: int, q: FloatArray, seen: FloatArray) -> bool:  # noqa: ARG002
        """Whether the object has moved on."""
        target = goal.steps[0].object
        return float(np.linalg.norm(simulator.object_position(target) - seen[target])) > MOVED_M


def set_going(scene: Scene, number: int, rng: np.random.Generator) -> Scene:
    """Return `scene` with object `number` on a path within reach at 4 to 6 cm/s, and the others clear of it."""
    speed = float(rng.uniform(0.04, 0.06))
    stand: list[tuple[float, float]] = []
    while not stand:
        motion = _path(number, speed, rng)
        if motion.length_m >= SHORTEST_M and motion.tightest_m() >= TIGHTEST_M:
            stand = _beside(motion, rng)
    x, y = motion.at(0.0)[0].tolist()
    stand[number] = (x, y)
    things = tuple(replace(o, x=x, y=y) for o, (x, y) in zip(scene.objects, stand, strict=True))
    return replace(scene, objects=things, motion=motion)


def _beside(motion: Motion, rng: np.random.Generator) -> list[tuple[float, float]]:
    """Draw places of which all but that of the moving object are clear of its path; none after twenty tries."""
    for _ in range(20):
        stand = places_in_reach(rng)
        others = np.delete(stand, motion.object, axis=0)
        if np.linalg.norm(motion.points[::8, None] - others, axis=-1).min() >= APART_M:
            return stand
    return []


def _path(number: int, speed: float, rng: np.random.Generator) -> Motion:
    """Draw a closed curve in the part of the table the gripper reaches from above."""
    middle, width = np.array([0.22, 0.0]), np.array([0.055, np.radians(44)])
    center = middle + rng.uniform(-0.5, 0.5, 2) * width
    size = np.minimum(width - np.abs(center - middle), MOST) * rng.uniform(0.5, 0.8, 2)
    # Once round either way, plus smaller waves that bend it.
    lean, way = rng.uniform(-0.5, 0.5), rng.choice([-1.0, 1.0])
    waves = rng.normal(0.0, 0.2, (2, HARMONICS, 2)) / np.arange(1, HARMONICS + 1)[:, None] ** 1.5
    waves[:, 0] = ((np.cos(lean), np.sin(lean)), (0.0, way))
    waves *= size[:, None, None]
    radius, angle = ((float(c), *map(float, w.ravel())) for c, w in zip(center, waves, strict=True))
    return Motion(object=number, speed=speed, radius=radius, angle=angle, start=float(rng.uniform(0.0, 2 * np.pi)))


class TrackTracker:
    """Measures how much of the time the fingertip is near the object, once it has had time to get there."""

    def __init__(self, target: int) -> None:
        """target: number of the object in the scene."""
        self._target = target
        self._ticks = self._near = 0
        self._total_m = 0.0

    def update(self, simulator: Simulator) -> TaskStatus:
        """Look at the present state; call once a tick. distance_m: the mean since the catching up."""
        distance = simulator.surface_distance(self._target, simulator.fingertip())
        self._ticks += 1
        judged = self._ticks - round(CATCH_UP_S * CONTROL_HZ)
        if judged <= 0:
            return TaskStatus(success=False, distance_m=distance, held_s=0.0)
        self._near += distance <= CLOSE_M
        self._total_m += distance
        success = judged >= round(JUDGED_S * CONTROL_HZ) and self._near >= SHARE * judged
        return TaskStatus(success=success, distance_m=self._total_m / judged, held_s=self._near / CONTROL_HZ)
