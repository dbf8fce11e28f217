"""Bowl and plate: where things are put, and whether one rests there."""

import math

import numpy as np

from so_arm_policy.core.arrays import FloatArray
from so_arm_policy.core.errors import InputError
from so_arm_policy.core.objects import DISHES
from so_arm_policy.sim.goal import PLACES
from so_arm_policy.sim.scene import Scene
from so_arm_policy.sim.simulator import Simulator

# How far from the middle the centre of a thing may be, m, and how high above the table.
WITHIN_M = {"bowl": 0.048, "plate": 0.055}
BELOW_M = {"bowl": 0.050, "plate": 0.040}
FLOOR_M = {name: dish.floor_m for name, dish in DISHES.items()}
STILL_M_S = 0.03
AWAY_M = 0.03


def places_of(scene: Scene) -> tuple[str, ...]:
    """Return the names of the places of `scene`, in the order of PLACES."""
    return PLACES if scene.plate_x is not None else PLACES[:1]


def place_center(scene: Scene, place: str) -> FloatArray:
    """Return the middle of the floor of `place`, (3,) m. Raises InputError where the scene has no plate."""
    x, y = (scene.bowl_x, scene.bowl_y) if place == "bowl" else (scene.plate_x, scene.plate_y)
    if x is None or y is None:
        raise InputError(f"place: got {place!r} in a scene without one, expected 'bowl'")
    return np.array([x, y, FLOOR_M[place]])


def offset(simulator: Simulator, number: int, place: str) -> float:
    """Horizontal distance of object `number` from the middle of `place`, m."""
    x, y, _ = simulator.object_position(number) - place_center(simulator.scene, place)
    return math.hypot(x, y)


def lies_in(simulator: Simulator, number: int, place: str) -> bool:
    """Whether object `number` is in or on `place`, moving or not."""
    return (
        offset(simulator, number, place) <= WITHIN_M[place] and simulator.object_position(number)[2] <= BELOW_M[place]
    )


def let_go(simulator: Simulator, number: int) -> bool:
    """Whether no fingertip is near object `number`."""
    tips = (simulator.fingertip(arm) for arm in range(len(simulator.robot.arms)))
    return all(simulator.surface_distance(number, tip) >= AWAY_M for tip in tips)


def rests_in(simulator: Simulator, number: int, place: str) -> bool:
    """Whether object `number` lies in or on `place`, still, and no gripper is near it."""
    return (
        lies_in(simulator, number, place) and simulator.object_speed(number) <= STILL_M_S and let_go(simulator, number)
    )
