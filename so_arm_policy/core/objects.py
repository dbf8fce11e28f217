"""The things on the table: their kinds, sizes and colours, how far a point is from one, and what they are put into."""

from dataclasses import dataclass

import numpy as np

from so_arm_policy.core.arrays import FloatArray

OBJECT_COUNT = 3
OBJECT_MASS_KG = 0.03
# The first four are the colours of the first bundles.
COLORS: dict[str, tuple[float, float, float]] = {
    "red": (0.80, 0.10, 0.10),
    "green": (0.12, 0.60, 0.18),
    "blue": (0.10, 0.22, 0.80),
    "yellow": (0.90, 0.78, 0.10),
    "orange": (0.93, 0.42, 0.06),
    "purple": (0.45, 0.12, 0.58),
    "cyan": (0.10, 0.72, 0.76),
    "black": (0.06, 0.06, 0.06),
}
# Half of the extent along the object's own x, y and z, m. A can is an upright cylinder, a brick lies along its x.
HALF_SIZES: dict[str, tuple[float, float, float]] = {
    "cube": (0.015, 0.015, 0.015),
    "can": (0.014, 0.014, 0.021),
    "brick": (0.026, 0.012, 0.012),
}
KINDS = tuple(HALF_SIZES)


@dataclass(frozen=True)
class Dish:
    """A round thing to put others into. Radii of its lower side and its rim, its height, and that of its floor, m."""

    lower_radius_m: float
    rim_radius_m: float
    height_m: float
    floor_m: float


DISHES = {"bowl": Dish(0.042, 0.058, 0.039, 0.004), "plate": Dish(0.055, 0.055, 0.006, 0.006)}
CUBE_SIZE_M = 2 * HALF_SIZES["cube"][0]


def height(kind: str) -> float:
    """Height of an object that stands as it was put, m."""
    return 2 * HALF_SIZES[kind][2]


def surface_distance(kind: str, point: FloatArray) -> float:
    """Distance from `point` (3,) m, in the object's own frame, to the surface of the object, m; 0 inside."""
    half = np.array(HALF_SIZES[kind])
    if kind == "can":
        flat = np.array([np.hypot(point[0], point[1]), abs(point[2])]) - half[[0, 2]]
        return float(np.linalg.norm(np.maximum(flat, 0.0)))
    return float(np.linalg.norm(np.maximum(np.abs(point) - half, 0.0)))


def inertia(kind: str) -> FloatArray:
    """Principal moments of inertia of an object of OBJECT_MASS_KG, (3,) kg m^2."""
    x, y, z = HALF_SIZES[kind]
    if kind == "can":
        across = x * x / 4 + z * z / 3
        return OBJECT_MASS_KG * np.array([across, across, x * x / 2])
    return OBJECT_MASS_KG / 3 * np.array([y * y + z * z, x * x + z * z, x * x + y * y])
