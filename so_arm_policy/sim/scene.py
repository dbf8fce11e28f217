"""What stands on the table, as a value: drawn from a seed, sent between processes, put into the model."""

import math
from dataclasses import dataclass

import numpy as np

from so_arm_policy.core.errors import ConfigError

CUBE_SIZE_M = 0.03
CUBE_COUNT = 3
COLORS: dict[str, tuple[float, float, float]] = {
    "red": (0.80, 0.10, 0.10),
    "green": (0.12, 0.60, 0.18),
    "blue": (0.10, 0.22, 0.80),
    "yellow": (0.90, 0.78, 0.10),
}


@dataclass(frozen=True, kw_only=True)
class Cube:
    """One cube: colour word, colour as drawn (RGB, 0..1), place on the table (m) and turn (rad)."""

    color: str
    rgb: tuple[float, float, float]
    x: float
    y: float
    yaw: float


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One arrangement: cubes, the bowl's place (m) and the brightness of the light (1 = normal)."""

    seed: int
    cubes: tuple[Cube, ...]
    bowl_x: float
    bowl_y: float
    brightness: float

    def __post_init__(self) -> None:
        """Refuse what the model has no body for, and numbers that are not finite."""
        if len(self.cubes) != CUBE_COUNT:
            raise ConfigError(f"scene: got {len(self.cubes)} cubes, expected {CUBE_COUNT}")
        numbers = [v for c in self.cubes for v in (c.x, c.y, c.yaw, *c.rgb)] + [self.bowl_x, self.bowl_y]
        if not all(math.isfinite(v) and abs(v) < 10.0 for v in numbers):
            raise ConfigError(f"scene: got {numbers}, expected finite numbers below 10")
        if not 0.0 < self.brightness <= 4.0:
            raise ConfigError(f"scene: got brightness {self.brightness}, expected 0 < brightness <= 4")


def random_scene(seed: int) -> Scene:
    """Draw a scene from `seed`: three colours out of the palette, cubes in reach and apart, a bowl at one side."""
    rng = np.random.default_rng([seed, 101])
    colors = rng.permutation(list(COLORS))[:CUBE_COUNT]
    side = rng.choice([-1.0, 1.0])
    angle, radius = side * math.radians(rng.uniform(66, 80)), rng.uniform(0.20, 0.25)
    cubes = tuple(
        Cube(color=str(color), rgb=_jittered(COLORS[str(color)], rng), x=x, y=y, yaw=float(rng.uniform(-0.78, 0.78)))
        for color, (x, y) in zip(colors, _places(rng), strict=True)
    )
    return Scene(
        seed=seed,
        cubes=cubes,
        bowl_x=radius * math.cos(angle),
        bowl_y=radius * math.sin(angle),
        brightness=float(rng.uniform(0.75, 1.25)),
    )


def _jittered(rgb: tuple[float, float, float], rng: np.random.Generator) -> tuple[float, float, float]:
    r, g, b = np.clip(np.array(rgb) + rng.uniform(-0.05, 0.05, 3), 0.0, 1.0).tolist()
    return r, g, b


def _places(rng: np.random.Generator, apart_m: float = 0.075) -> list[tuple[float, float]]:
    """Draw places in the part of the table the gripper reaches from above, at least `apart_m` from each other."""
    places: list[tuple[float, float]] = []
    while len(places) < CUBE_COUNT:
        radius, angle = rng.uniform(0.17, 0.27), math.radians(rng.uniform(-45, 45))
        place = (radius * math.cos(angle), radius * math.sin(angle))
        if all(math.dist(place, other) >= apart_m for other in places):
            places.append(place)
    return places
