"""What stands on the table, as a value: drawn from a seed, sent between processes, put into the model."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.objects import COLORS, KINDS, OBJECT_COUNT
from so_arm_policy.sim.motion import Motion

Rgb = tuple[float, float, float]
# A fixed camera that was bumped. Where it is cannot be told from its pictures: 1 cm would cost 8 mm of every place.
CAMERA_JITTER_M = 0.003


@dataclass(frozen=True, kw_only=True)
class SceneObject:
    """One object: colour word, kind, colour as drawn (RGB, 0..1), place on the table (m) and turn (rad)."""

    color: str
    kind: str
    rgb: Rgb
    x: float
    y: float
    yaw: float

    def __post_init__(self) -> None:
        """Refuse words that name nothing."""
        if self.color not in COLORS:
            raise ConfigError(f"object: got colour {self.color!r}, expected one of {list(COLORS)}")
        if self.kind not in KINDS:
            raise ConfigError(f"object: got kind {self.kind!r}, expected one of {list(KINDS)}")

    @property
    def words(self) -> str:
        """What people call it, e.g. "red cube"."""
        return f"{self.color} {self.kind}"


@dataclass(frozen=True, kw_only=True)
class Patch:
    """A square of paint on the table: drawn only, nothing touches it. rgb: 0..1; x, y, half_m: m; yaw: rad."""

    rgb: Rgb
    x: float
    y: float
    yaw: float = 0.0
    half_m: float = 0.015


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One arrangement, in the world frame.

    bowl_x, bowl_y, plate_x, plate_y: m; without a plate both are None. brightness, tint: of the light, 1 = normal.
    lamp: where the lamp is moved to, m. camera_xyz, camera_aim: where the overhead camera is moved to and where on the
    table it is turned to, m away from normal. motion: which object moves and how.
    patches: what is painted on the table besides.
    """

    seed: int
    objects: tuple[SceneObject, ...]
    bowl_x: float
    bowl_y: float
    brightness: float
    plate_x: float | None = None
    plate_y: float | None = None
    tint: Rgb = (1.0, 1.0, 1.0)
    lamp: tuple[float, float] = (0.0, 0.0)
    camera_xyz: tuple[float, float, float] = (0.0, 0.0, 0.0)
    camera_aim: tuple[float, float] = (0.0, 0.0)
    motion: Motion | None = None
    patches: tuple[Patch, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what the model has no body for, and numbers that are not finite."""
        if len(self.objects) != OBJECT_COUNT:
            raise ConfigError(f"scene: got {len(self.objects)} objects, expected {OBJECT_COUNT}")
        if (self.plate_x is None) != (self.plate_y is None):
            raise ConfigError(f"scene: got plate at {self.plate_x}, {self.plate_y}, expected both numbers or neither")
        numbers = [v for o in self.objects for v in (o.x, o.y, o.yaw, *o.rgb)]
        numbers += [self.bowl_x, self.bowl_y, self.plate_x or 0.0, self.plate_y or 0.0]
        numbers += [v for p in self.patches for v in (p.x, p.y, p.yaw, p.half_m, *p.rgb)]
        numbers += [*self.tint, *self.lamp, *self.camera_xyz, *self.camera_aim]
        if not all(math.isfinite(v) and abs(v) < 10.0 for v in numbers):
            raise ConfigError(f"scene: got {numbers}, expected finite numbers below 10")
        if not 0.0 < self.brightness <= 4.0:
            raise ConfigError(f"scene: got brightness {self.brightness}, expected 0 < brightness <= 4")
        if not all(0.0 < t <= 2.0 for t in self.tint):
            raise ConfigError(f"scene: got tint {self.tint}, expected 0 < tint <= 2")
        if max(map(abs, (*self.camera_xyz, *self.camera_aim))) > 0.1:
            raise ConfigError(
                f"scene: got camera moved by {self.camera_xyz}, {self.camera_aim}, expected at most 0.1 m"
            )
        if self.motion is not None and not 0 <= self.motion.object < OBJECT_COUNT:
            raise ConfigError(f"scene: got motion of object {self.motion.object}, expected 0..{OBJECT_COUNT - 1}")


@dataclass(frozen=True, kw_only=True)
class ObjectSet:
    """Which objects scenes are made of, and how much else varies.

    held_out: pairs of colour and kind that never stand in a scene, unless `named_held_out`: then exactly one of them
    does, and it is what instructions are about. varied: scenes have a plate, and cameras and lights move.
    """

    colors: tuple[str, ...]
    kinds: tuple[str, ...]
    held_out: tuple[tuple[str, str], ...] = ()
    named_held_out: bool = False
    varied: bool = True

    def targets(self, scene: Scene) -> list[int]:
        """Return the numbers of the objects that an instruction may be about."""
        numbers = range(len(scene.objects))
        if not self.named_held_out:
            return list(numbers)
        return [i for i in numbers if (scene.objects[i].color, scene.objects[i].kind) in self.held_out]

    def with_held_out(self) -> Self:
        """Return the same set where instructions are about held-out pairs. Raises ConfigError without any."""
        if not self.held_out:
            raise ConfigError("split 'pairs': got objects without held-out pairs, expected some, e.g. EVERYTHING")
        return type(self)(
            colors=self.colors, kinds=self.kinds, held_out=self.held_out, named_held_out=True, varied=self.varied
        )

    def draw(self, rng: np.random.Generator) -> list[tuple[str, str]]:
        """Draw different pairs of colour and kind, often alike in one of the two, so that both words are needed."""
        usual = [(c, k) for c in self.colors for k in self.kinds if (c, k) not in self.held_out]
        pairs: list[tuple[str, str]] = []
        if self.named_held_out:
            pairs.append(self.held_out[int(rng.integers(len(self.held_out)))])
        while len(pairs) < OBJECT_COUNT:
            free = [p for p in usual if p not in pairs]
            alike = int(rng.integers(3)) if pairs else 2  # same colour, same kind, whatever
            close = [p for p in free if alike == 2 or p[alike] == pairs[0][alike]] or free
            pairs.append(close[int(rng.integers(len(close)))])
        return [pairs[i] for i in rng.permutation(OBJECT_COUNT)]


FOUNDATION = ObjectSet(colors=tuple(COLORS)[:4], kinds=("cube",), varied=False)
EVERYTHING = ObjectSet(
    colors=tuple(COLORS),
    kinds=KINDS,
    held_out=(("red", "can"), ("yellow", "brick"), ("orange", "cube"), ("cyan", "can")),
)
HELD_OUT_PAIRS = EVERYTHING.with_held_out()


def random_scene(seed: int, objects: ObjectSet = FOUNDATION) -> Scene:
    """Draw a scene from `seed`: objects in reach and apart, a bowl at one side and, where varied, a plate opposite."""
    rng = np.random.default_rng([seed, 101])
    return _varied_scene(seed, objects, rng) if objects.varied else _plain_scene(seed, objects, rng)


def _plain_scene(seed: int, objects: ObjectSet, rng: np.random.Generator) -> Scene:
    """Draw cubes of different colours. The order of the draws is fixed: published scores depend on it."""
    colors = rng.permutation(list(objects.colors))[:OBJECT_COUNT]
    side = rng.choice([-1.0, 1.0])
    angle, radius = side * math.radians(rng.uniform(66, 80)), rng.uniform(0.20, 0.25)
    cubes = tuple(
        SceneObject(
            color=str(color),
            kind="cube",
            rgb=_jittered(COLORS[str(color)], rng),
            x=x,
            y=y,
            yaw=float(rng.uniform(-0.78, 0.78)),
        )
        for color, (x, y) in zip(colors, places_in_reach(rng), strict=True)
    )
    return Scene(
        seed=seed,
        objects=cubes,
        bowl_x=radius * math.cos(angle),
        bowl_y=radius * math.sin(angle),
        brightness=float(rng.uniform(0.75, 1.25)),
    )


def _varied_scene(seed: int, objects: ObjectSet, rng: np.random.Generator) -> Scene:
    pairs = objects.draw(rng)
    things = tuple(
        SceneObject(
            color=color,
            kind=kind,
            rgb=_jittered(COLORS[color], rng),
            x=x,
            y=y,
            yaw=float(rng.uniform(-math.pi / 2, math.pi / 2)),
        )
        for (color, kind), (x, y) in zip(pairs, places_in_reach(rng, most_angle_deg=40.0), strict=True)
    )
    side = float(rng.choice([-1.0, 1.0]))
    (bowl_x, bowl_y), (plate_x, plate_y) = _beside(rng, side), _beside(rng, -side)
    return Scene(
        seed=seed,
        objects=things,
        bowl_x=bowl_x,
        bowl_y=bowl_y,
        plate_x=plate_x,
        plate_y=plate_y,
        brightness=float(rng.uniform(0.75, 1.25)),
        tint=_three(1.0 + rng.uniform(-0.06, 0.06, 3)),
        lamp=(float(rng.uniform(-0.25, 0.25)), float(rng.uniform(-0.25, 0.25))),
        camera_xyz=_three(rng.uniform(-CAMERA_JITTER_M, CAMERA_JITTER_M, 3)),
        camera_aim=_two(rng.uniform(-CAMERA_JITTER_M, CAMERA_JITTER_M, 2)),
    )


def _beside(rng: np.random.Generator, side: float) -> tuple[float, float]:
    """Draw where the bowl or the plate stands: at one side (1 left, -1 right) of the objects."""
    angle, radius = side * math.radians(rng.uniform(66, 80)), rng.uniform(0.20, 0.25)
    return radius * math.cos(angle), radius * math.sin(angle)


def _jittered(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    return _three(np.clip(np.array(rgb) + rng.uniform(-0.05, 0.05, 3), 0.0, 1.0))


def _two(values: np.ndarray) -> tuple[float, float]:
    a, b = values.tolist()
    return a, b


def _three(values: np.ndarray) -> Rgb:
    a, b, c = values.tolist()
    return a, b, c


def places_in_reach(
    rng: np.random.Generator, apart_m: float = 0.075, most_angle_deg: float = 45.0
) -> list[tuple[float, float]]:
    """Draw places in the part of the table the gripper reaches from above, at least `apart_m` from each other."""
    places: list[tuple[float, float]] = []
    while len(places) < OBJECT_COUNT:
        radius, angle = rng.uniform(0.17, 0.27), math.radians(rng.uniform(-most_angle_deg, most_angle_deg))
        place = (radius * math.cos(angle), radius * math.sin(angle))
        if all(math.dist(place, other) >= apart_m for other in places):
            places.append(place)
    return places
