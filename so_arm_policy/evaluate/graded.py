"""Perturbations that have a strength: the axis along which `so-arm compare` asks how much a controller can bear.

Each is one row of GRADED. The seed of an episode says in which direction, when or which; the strength says how much, so
that an episode meets the same thing at every strength. A strength of 0 is no perturbation.
"""

import colorsys
import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from so_arm_policy.core.errors import ConfigError
from so_arm_policy.core.objects import COLORS
from so_arm_policy.core.timegrid import CONTROL_HZ
from so_arm_policy.core.values import CameraImage
from so_arm_policy.evaluate.disturbances import Gain, JointNoise, Payload, Push
from so_arm_policy.evaluate.perturbations import Perturbation, Pictures, Seen
from so_arm_policy.sim.scene import Patch, Rgb, Scene

MOST_PATCHES = 8
PATCH_APART_M = 0.05  # between the middles of patches, and of patches and objects
DISH_APART_M = 0.085
_CAMERA, _PATCHES, _DROPOUT, _HUE = 601, 602, 603, 604  # keep the draws of one kind apart from those of others


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One way to make an episode harder.

    text: what a strength means; unit: of it. at: returns the perturbation of a strength. strengths: sensible ones.
    least, most: what is possible. whole: whether only whole numbers are.
    """

    text: str
    unit: str
    at: Callable[[float], Perturbation]
    strengths: tuple[float, ...]
    least: float = 0.0
    most: float
    whole: bool = False


@dataclass(frozen=True, order=True)
class Condition:
    """What all controllers meet: a row of GRADED and how much of it; ("", 0) is an undisturbed episode."""

    perturbation: str = ""
    strength: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what is not in the table or not possible. Raises ConfigError."""
        if self.perturbation == "" and self.strength == 0.0:
            return
        if self.perturbation not in GRADED:
            raise ConfigError(f"perturbation: got {self.perturbation!r}, expected one of {list(GRADED)}")
        kind = GRADED[self.perturbation]
        possible = kind.least <= self.strength <= kind.most and (not kind.whole or float(self.strength).is_integer())
        if not possible:
            numbers = "a whole number within " if kind.whole else ""
            raise ConfigError(
                f"{self.perturbation}: got strength {self.strength}, "
                f"expected {numbers}{kind.least:g}..{kind.most:g} {kind.unit}"
            )

    def make(self) -> Perturbation:
        """Return what is changed in the episodes; also of strength 0, which changes nothing."""
        return GRADED[self.perturbation].at(self.strength) if self.perturbation else NOTHING


def conditions(texts: list[str] | None) -> list[Condition]:
    """Read `NAME=STRENGTH,STRENGTH`, or `NAME` for its sensible strengths; undisturbed episodes alone of no texts.

    A strength of 0 is the one undisturbed condition that all kinds share. Raises ConfigError.
    """
    if not texts:
        return [UNDISTURBED]
    found: list[Condition] = []
    for text in texts:
        name, given, listed = text.partition("=")
        if name not in GRADED:
            raise ConfigError(f"perturbation: got {name!r}, expected one of {list(GRADED)}")
        strengths = [_number(text, part) for part in listed.split(",")] if given else [0.0, *GRADED[name].strengths]
        found += [Condition(name, strength) if strength else UNDISTURBED for strength in strengths]
    return list(dict.fromkeys(found))


def _number(text: str, part: str) -> float:
    try:
        return float(part)
    except ValueError:
        raise ConfigError(f"--perturb: got {text!r}, expected NAME=STRENGTH,STRENGTH with numbers") from None


def _camera_shift(strength: float) -> Perturbation:
    """Without a turn, so that whoever does not know of it sees everything aside by as much."""

    def scene(plain: Scene) -> Scene:
        angle = np.random.default_rng([plain.seed, _CAMERA]).uniform(0.0, 2.0 * math.pi)
        x, y = strength * math.cos(angle), strength * math.sin(angle)
        (cx, cy, cz), (ax, ay) = plain.camera_xyz, plain.camera_aim
        return replace(plain, camera_xyz=(cx + x, cy + y, cz), camera_aim=(ax + x, ay + y))

    return Perturbation(text=f"overhead camera {strength:g} m aside", scene=scene)


def _lighting(strength: float) -> Perturbation:
    factor = 2.0**strength
    return Perturbation(
        text=f"light at {factor:g} of normal", scene=lambda plain: replace(plain, brightness=factor * plain.brightness)
    )


def _distractors(strength: float) -> Perturbation:
    """Squares of paint as large as a cube's face: the model has three objects. Of colours that no object there has."""

    def scene(plain: Scene) -> Scene:
        rng = np.random.default_rng([plain.seed, _PATCHES])
        free = [rgb for name, rgb in COLORS.items() if name not in {thing.color for thing in plain.objects}]
        patches: list[Patch] = []
        while len(patches) < strength:
            rgb = free[int(rng.integers(len(free)))]
            radius, angle = rng.uniform(0.12, 0.33), math.radians(rng.uniform(-60.0, 60.0))
            x, y = radius * math.cos(angle), radius * math.sin(angle)
            patch = Patch(rgb=rgb, x=x, y=y, yaw=float(rng.uniform(0.0, math.pi / 2)))
            if _is_free(plain, patches, x, y):
                patches.append(patch)
        return replace(plain, patches=tuple(patches))

    return Perturbation(text=f"{strength:g} squares painted on the table", scene=scene)


def _is_free(scene: Scene, patches: list[Patch], x: float, y: float) -> bool:
    others = [(o.x, o.y) for o in scene.objects] + [(p.x, p.y) for p in patches]
    dishes = [(scene.bowl_x, scene.bowl_y)]
    if scene.plate_x is not None and scene.plate_y is not None:
        dishes.append((scene.plate_x, scene.plate_y))
    near = ((others, PATCH_APART_M), (dishes, DISH_APART_M))
    return all(math.dist((x, y), place) >= apart for places, apart in near for place in places)


def _camera_dropout(strength: float) -> Perturbation:
    """Which pictures are lost follows from seed, camera and tick alone, however often somebody looks."""

    def pictures(seen: Seen) -> Pictures:
        def arrived(camera: str, picture: CameraImage) -> CameraImage:
            drawn = np.random.default_rng([seen.seed, _DROPOUT, seen.tick, zlib.crc32(camera.encode())]).random()
            return seen.last[camera] if drawn < strength else picture

        return {camera: arrived(camera, picture) for camera, picture in seen.now.items()}

    return Perturbation(text=f"{strength:.0%} of the pictures lost", pictures=pictures)


def _colours(strength: float) -> Perturbation:
    """One way or the other, drawn for each object."""

    def scene(plain: Scene) -> Scene:
        signs = np.random.default_rng([plain.seed, _HUE]).choice([-1.0, 1.0], len(plain.objects))
        things = zip(plain.objects, signs, strict=True)
        return replace(plain, objects=tuple(replace(o, rgb=turned_hue(o.rgb, strength * sign)) for o, sign in things))

    return Perturbation(text=f"hues {strength:g} degrees aside", scene=scene)


def turned_hue(rgb: Rgb, degrees: float) -> Rgb:
    """Return a colour, 0..1, with its hue turned: red by 120 degrees is green. Saturation and value stay."""
    if degrees == 0.0:
        return rgb
    hue, saturation, value = colorsys.rgb_to_hsv(*rgb)
    return colorsys.hsv_to_rgb((hue + degrees / 360.0) % 1.0, saturation, value)


def _phrasings(strength: float) -> Perturbation:
    text = "phrasings that no training saw" if strength else "phrasings of training"
    split = "phrases" if strength else "train"
    return Perturbation(text=text, episode=lambda task, seed: task.sample(seed, split))


def _latency(strength: float) -> Perturbation:
    ticks = round(strength * CONTROL_HZ / 1000.0)
    return Perturbation(text=f"pictures {strength:g} ms later", latency_ticks=ticks)


GRADED: Mapping[str, Kind] = {
    "camera_shift": Kind(
        text="how far the overhead camera stands aside, in a direction from the seed",
        unit="m",
        at=_camera_shift,
        strengths=(0.005, 0.01, 0.02, 0.04),
        most=0.09,
    ),
    "lighting": Kind(
        text="light in stops: 1 is twice as bright, -1 half",
        unit="stops",
        at=_lighting,
        strengths=(-3.0, -2.0, -1.0, 1.0, 1.5),
        least=-5.0,
        most=1.6,
    ),
    "distractors": Kind(
        text="how many squares of paint lie on the table, of colours that no object there has",
        unit="squares",
        at=_distractors,
        strengths=(1.0, 2.0, 4.0, 8.0),
        most=MOST_PATCHES,
        whole=True,
    ),
    "camera_dropout": Kind(
        text="share of pictures that are lost: the last one stays, with its stamp",
        unit="share",
        at=_camera_dropout,
        strengths=(0.2, 0.5, 0.8, 0.95),
        most=1.0,
    ),
    "latency": Kind(
        text="how much longer pictures take until they are used, to the nearest tick; not of those that do not look",
        unit="ms",
        at=_latency,
        strengths=(50.0, 100.0, 200.0, 400.0),
        most=1500.0,
    ),
    "joint_noise": Kind(
        text="standard deviation of the measured positions, also as the supervisor sees them",
        unit="rad",
        at=lambda s: Perturbation(text=f"positions {s:g} rad off", disturbance=lambda: JointNoise(s)),
        strengths=(0.002, 0.005, 0.01, 0.02),
        most=0.2,
    ),
    "payload": Kind(
        text="mass added to each hand",
        unit="kg",
        at=lambda s: Perturbation(text=f"hands {s:g} kg heavier", disturbance=lambda: Payload(s)),
        strengths=(0.25, 0.5, 1.0, 1.5),
        most=3.0,
    ),
    "gain": Kind(
        text="change of the servos' stiffness: -0.5 is half of it",
        unit="share",
        at=lambda s: Perturbation(text=f"stiffness times {1 + s:g}", disturbance=lambda: Gain(1.0 + s)),
        strengths=(-0.98, -0.95, -0.9, -0.8),
        least=-0.99,
        most=4.0,
    ),
    "push": Kind(
        text="a blow of 50 ms to a link; link, direction and time from the seed",
        unit="N s",
        at=lambda s: Perturbation(text=f"a blow of {s:g} N s", disturbance=lambda: Push(s)),
        strengths=(1.0, 2.0, 4.0, 8.0),
        most=10.0,
    ),
    "colours": Kind(
        text="by how much the paint of each object is shifted in hue, one way or the other",
        unit="degrees",
        at=_colours,
        strengths=(5.0, 10.0, 20.0, 40.0),
        most=180.0,
    ),
    "phrasings": Kind(
        text="1: instructions in phrasings that no training saw",
        unit="",
        at=_phrasings,
        strengths=(1.0,),
        most=1.0,
        whole=True,
    ),
}
NOTHING = Perturbation(text="nothing")
UNDISTURBED = Condition()
