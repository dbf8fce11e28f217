"""What demonstrations say beyond LeRobot's columns: where things are in each picture, and what the expert was about.

Columns are numbers, a row for each row of the dataset, so that any reader takes them along. K objects, W stages of a
plan, n joints; places are the bowl, then the plate.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from so_arm_policy.control.grasp import find_grasp
from so_arm_policy.control.ik import wrapped
from so_arm_policy.core.errors import InputError
from so_arm_policy.core.objects import COLORS, KINDS
from so_arm_policy.core.robot import RobotConfig
from so_arm_policy.sim.expert import Expert
from so_arm_policy.sim.goal import PLACES
from so_arm_policy.sim.model import standing_camera
from so_arm_policy.sim.places import place_center, places_of, rests_in
from so_arm_policy.sim.scene import Scene
from so_arm_policy.sim.simulator import Simulator
from so_arm_policy.sim.truth import tabletop_of

Labels = dict[str, npt.NDArray[np.generic]]
PLAN_STAGES = 12  # plans are padded to this by repeating their last stage
SCENE = ("scene.names", "scene.objects", "scene.places", "scene.pixels", "scene.rests_in", "scene.roll")
EXPERT = ("expert.velocity", "expert.stage", "expert.via", "expert.goal", "expert.tolerance")
ABSENT = -1.0  # pixel of what is not there
ON_TABLE_M = 0.03  # what lies higher is not grasped


@dataclass(frozen=True)
class SceneLabels:
    """Says where things are. base: (3,) m, of the arm that rolls are for."""

    robot: RobotConfig

    def of(self, simulator: Simulator) -> Labels:
        """Return the columns SCENE at this moment.

        names: (K, 2) numbers of colour and kind; objects: (K, 3) m; places: (2, 3) m; pixels: (K + 2, 2) where objects
        and places are in the overhead picture, column and row in 0..1 of its size; rests_in: (K,) 0 nowhere, 1 bowl,
        2 plate; roll: (K, 3) cosine and sine of the roll that the wrist grasps it with, and 1 where that counts. A
        plate that the scene has not is where the bowl is, at the pixel (ABSENT, ABSENT); so is what an arm lifted over
        the camera.
        """
        scene = simulator.scene
        numbers = range(len(scene.objects))
        objects = np.array([simulator.object_position(i) for i in numbers])
        there = places_of(scene)
        places = np.array([place_center(scene, place if place in there else there[0]) for place in PLACES])
        pixels = standing_camera(self.robot.camera("overhead"), scene).shares(np.concatenate([objects, places]))
        pixels[len(objects) + len(there) :] = ABSENT
        pixels[np.isnan(pixels)] = ABSENT
        return {
            "scene.names": np.array([names_of(scene, i) for i in numbers], dtype=np.int64),
            "scene.objects": objects.astype(np.float32),
            "scene.places": places.astype(np.float32),
            "scene.pixels": pixels.astype(np.float32),
            "scene.rests_in": np.array([_resting(simulator, i) for i in numbers], dtype=np.int64),
            "scene.roll": np.array([self._roll(simulator, i) for i in numbers], dtype=np.float32),
        }

    def _roll(self, simulator: Simulator, number: int) -> tuple[float, float, float]:
        base = np.array(self.robot.arms[0].base_xyz)
        x, y, z = simulator.object_position(number) - base
        if z > ON_TABLE_M:
            return 1.0, 0.0, 0.0
        try:
            roll = wrapped(find_grasp(tabletop_of(simulator), number, base).yaw - math.atan2(y, x))
        except InputError:
            return 1.0, 0.0, 0.0
        return math.cos(roll), math.sin(roll), 1.0


def expert_labels(expert: Expert) -> Labels:
    """Return the columns EXPERT at this moment: velocity (n,) rad/s, and the stage and plan that are followed."""
    assert expert.plan is not None
    plan = expert.plan
    more = PLAN_STAGES - plan.stages
    if more < 0:
        raise InputError(f"plan: got {plan.stages} stages, expected at most {PLAN_STAGES}")
    return {
        "expert.velocity": expert.dq.astype(np.float32),
        "expert.stage": np.asarray(expert.stage, dtype=np.int64),
        "expert.via": _padded(plan.via, more),
        "expert.goal": _padded(plan.goal, more),
        "expert.tolerance": _padded(plan.tolerance, more),
    }


def names_of(scene: Scene, number: int) -> tuple[int, int]:
    """Return the numbers of colour and kind of an object."""
    thing = scene.objects[number]
    return list(COLORS).index(thing.color), KINDS.index(thing.kind)


def _resting(simulator: Simulator, number: int) -> int:
    there = places_of(simulator.scene)
    return next((1 + i for i, place in enumerate(there) if rests_in(simulator, number, place)), 0)


def _padded(rows: npt.NDArray[np.float64], more: int) -> npt.NDArray[np.float32]:
    return np.concatenate([rows, np.repeat(rows[-1:], more, axis=0)]).astype(np.float32)
